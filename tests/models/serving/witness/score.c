/* Scores the warm-up's serialized examples by a SavedModel, through TensorFlow's C API alone.
 *
 *   score MODEL_FOLDER INPUT_TENSOR OUTPUT_TENSOR ROWS_FILE
 *
 * A tensor is "operation:index". ROWS_FILE holds, for each row, its length as 8 bytes, little
 * endian, and its bytes. Prints one score a line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tstring.h>

#define MOST_ROWS 4096

static void require(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "%s\n", what);
    exit(1);
  }
}

static void nothing(void *data, size_t length, void *argument) {
  (void)data, (void)length, (void)argument;
}

static TF_Output tensor_of(TF_Graph *graph, char *name) {
  char *colon = strrchr(name, ':');
  require(colon != NULL, "a tensor must be operation:index");
  *colon = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  require(output.oper != NULL, "the graph lacks the operation");
  return output;
}

static int64_t read_rows(const char *path, TF_TString *rows) {
  FILE *file = fopen(path, "rb");
  require(file != NULL, "the rows cannot be read");
  int64_t count = 0;
  uint64_t length;
  while (fread(&length, sizeof length, 1, file) == 1) {
    require(count < MOST_ROWS, "too many rows");
    char *bytes = malloc(length ? length : 1);
    require(fread(bytes, 1, length, file) == length, "a row is cut off");
    TF_StringInit(&rows[count]);
    TF_StringCopy(&rows[count++], bytes, length);
    free(bytes);
  }
  fclose(file);
  return count;
}

int main(int argc, char **argv) {
  require(argc == 5, "four arguments are needed");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  require(TF_GetCode(status) == TF_OK, TF_Message(status));

  static TF_TString rows[MOST_ROWS];
  int64_t count = read_rows(argv[4], rows);
  TF_Tensor *input = TF_NewTensor(TF_STRING, &count, 1, rows, count * sizeof(TF_TString), nothing, NULL);
  TF_Output feed = tensor_of(graph, argv[2]), fetch = tensor_of(graph, argv[3]);
  TF_Tensor *output = NULL;
  TF_SessionRun(session, NULL, &feed, &input, 1, &fetch, &output, 1, NULL, 0, NULL, status);
  require(TF_GetCode(status) == TF_OK, TF_Message(status));
  require(TF_TensorType(output) == TF_FLOAT && TF_Dim(output, 0) == count, "scores of another kind");
  const float *scores = TF_TensorData(output);
  for (int64_t row = 0; row < count; ++row) printf("%.9g\n", scores[row]);

  TF_DeleteTensor(output);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  return 0;
}
