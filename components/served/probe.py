"""Loads a SavedModel as a model server would, and checks it. Runs alone, as a program.

    python -I probe.py MODEL_FOLDER CONTRACT_JSON REPORT_JSON

The program imports TensorFlow and makes taskroute impossible to import: a model that passes needs
neither our code nor our custom operations. Each check prints its name before it starts, so that
the last line names the check that a crash interrupted.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis import prediction_log_pb2

BLOCKED = ("taskroute", "tf_keras", "tensorflow_transform", "tensorflow_recommenders", "tfx")
NEEDED_BY_THE_NEXT = {"operations", "loading", "signatures", "warm_up"}
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
SCORES_FILE = "assets.extra/warmup_scores.json"
INFO_FILE = "assets.extra/model_info.json"
PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
# Text, tables and sparse values have kernels for the CPU only, or are slow on a GPU.
CPU_ONLY = ("LookupTable", "HashTable", "MutableHashTable", "Sparse", "String", "ParseExample")
MANY_ROWS = 10_000
LATENCY_CALLS, LATENCY_SECONDS = 100, 1.0

Inputs = Mapping[str, tf.Tensor]
Outputs = dict[str, np.ndarray]


class CheckFailedError(Exception):
    """One-sentence reason why the model fails a check."""


def expect(condition: bool, sentence: str) -> None:
    if not condition:
        raise CheckFailedError(sentence)


class Probe:
    """Checks, in their order; each is a method of its name."""

    CHECKS = (
        "operations",
        "loading",
        "signatures",
        "gpu_signature",
        "warm_up",
        "bad_requests",
        "edge_rows",
        "many_rows",
        "latency",
    )

    def __init__(self, folder: str, contract: Mapping[str, Any]):
        self.folder, self.contract = Path(folder), contract
        self.latencies: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {"tensorflow": tf.__version__}
        self.model: Any = None
        self.requests: dict[str, dict[int, Inputs]] = {}  # by signature and batch size
        self.scores: dict[str, np.ndarray] = {}

    def operations(self) -> None:
        """Checks that every operation is TensorFlow's own, and that none calls Python."""
        saved = saved_model_pb2.SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        kinds = set()
        for graph in (meta.graph_def for meta in saved.meta_graphs):
            functions = {function.signature.name for function in graph.library.function}
            nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
            for kind in sorted({node.op for node in nodes} - functions):
                expect(kind not in PYTHON_OPS, f"operation {kind} calls a Python function")
                is_known = op_def_registry.get(kind) is not None
                expect(is_known, f"operation {kind} is not TensorFlow's: a server has no kernel")
                kinds.add(kind)
            for function in graph.library.function:
                compiled = function.attr["_XlaMustCompile"].b
                unasked = compiled and not self.contract["xla"]
                expect(not unasked, "a function must be compiled by XLA, which servers have off")
        self.facts["operations"] = len(kinds)

    def loading(self) -> None:
        start = time.perf_counter()
        self.model = tf.saved_model.load(str(self.folder))
        self.facts["load_seconds"] = time.perf_counter() - start

    def signatures(self) -> None:
        """Checks that each signature gives every output, and each as (B,)."""
        expected = set(self.contract["outputs"])
        for name in self.contract["signatures"]:
            expect(name in self.model.signatures, f"there is no signature {name}")
            outputs = self.model.signatures[name].structured_outputs
            expect(
                set(outputs) == expected,
                f"signature {name} gives {sorted(outputs)} instead of {sorted(expected)}",
            )
            for output, spec in outputs.items():
                right = spec.dtype == tf.float32 and spec.shape.rank in (None, 1)
                expect(right, f"output {output} of {name} is {spec.dtype.name} {spec.shape}")

    def gpu_signature(self) -> None:
        """Checks that `transformed_features` reaches no text, no table and no sparse value."""
        name = self.contract["gpu_signature"]
        graph = self.model.signatures[name].graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        for node in nodes:
            texts = tf.string.as_datatype_enum in _types(node)
            unfit = texts or node.op.startswith(CPU_ONLY)
            expect(
                not unfit, f"signature {name} needs operation {node.op}, which has no GPU kernel"
            )

    def warm_up(self) -> None:
        """Checks that every warm-up request gives the scores that were written at training."""
        self.scores = {
            name: np.array(values)
            for name, values in json.loads((self.folder / SCORES_FILE).read_text()).items()
        }
        expect(
            set(self.scores) == set(self.contract["outputs"]),
            f"{SCORES_FILE} holds the scores of {sorted(self.scores)}",
        )
        worst = 0.0
        for record in tf.data.TFRecordDataset(str(self.folder / WARMUP_FILE)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            signature = request.model_spec.signature_name
            inputs = {n: tf.constant(tf.make_ndarray(t)) for n, t in request.inputs.items()}
            size = len(next(iter(inputs.values())))
            self.requests.setdefault(signature, {})[size] = inputs
            worst = max(worst, self._compare(signature, inputs, size))
        for signature in self.contract["signatures"]:
            sizes = sorted(self.requests.get(signature, {}))
            expect(
                sizes == self.contract["batch_sizes"],
                f"{signature} has warm-up requests of {sizes} rows instead of "
                f"{self.contract['batch_sizes']}",
            )
        self.facts["worst_difference"] = worst

    def bad_requests(self) -> None:
        """Checks that a request which cannot be answered is refused with an error."""
        for signature, sizes in self.requests.items():
            inputs = dict(sizes[max(sizes)])
            first = next(iter(inputs))
            rest = {name: value for name, value in inputs.items() if name != first}
            self._refused(signature, rest, f"without {first}")
            wrong = tf.fill(tf.shape(inputs[first]), True)
            self._refused(signature, {**rest, first: wrong}, f"with {first} as bool")
        garbage = {"examples": tf.constant([b"\xff no example"])}
        self._refused("serving_default", garbage, "with bytes that are no tf.Example")

    def edge_rows(self) -> None:
        """Checks that no rows give no scores, and that unseen values give finite scores."""
        for signature, sizes in self.requests.items():
            inputs = sizes[min(sizes)]
            outputs = self._call(signature, {name: x[:0] for name, x in inputs.items()})
            for output, values in outputs.items():
                expect(values.shape == (0,), f"{signature} gives {output} {values.shape} for none")
            if signature != "serving_default":
                for strange in ("\u6f22\u5b57 \U0001f600 \u00fc", ""):
                    row = {n: _filled(x, strange) for n, x in inputs.items()}
                    self._finite(signature, self._call(signature, row), "strange values")
        example = tf.train.Example()
        self._finite("serving_default", self._examples(example), "an empty tf.Example")
        columns = self._columns()
        for name, values in self.requests.get("raw_features", {}).get(min(sizes), {}).items():
            if values.dtype == tf.string:
                text = "\u6f22\u5b57 \U0001f600".encode()
                example.features.feature[columns.get(name, name)].bytes_list.value.append(text)
        self._finite("serving_default", self._examples(example), "unknown ids")

    def many_rows(self) -> None:
        for signature, sizes in self.requests.items():
            largest = max(sizes)
            rows = np.arange(MANY_ROWS) % largest
            inputs = {name: tf.gather(x, rows) for name, x in sizes[largest].items()}
            self._compare(signature, inputs, largest)

    def latency(self) -> None:
        for signature, sizes in self.requests.items():
            for size, inputs in sorted(sizes.items()):
                function = self.model.signatures[signature]
                started = time.perf_counter()
                seconds: list[float] = []
                while (
                    len(seconds) < LATENCY_CALLS and time.perf_counter() - started < LATENCY_SECONDS
                ):
                    start = time.perf_counter()
                    for values in function(**inputs).values():
                        values.numpy()
                    seconds.append(time.perf_counter() - start)
                p50, p95, p99 = (1e3 * float(p) for p in np.percentile(seconds, [50, 95, 99]))
                self.latencies.append(
                    {
                        "signature": signature,
                        "batch_size": size,
                        "calls": len(seconds),
                        "p50_ms": p50,
                        "p95_ms": p95,
                        "p99_ms": p99,
                    }
                )

    def _columns(self) -> dict[str, str]:
        """Columns of the log by input of `raw_features`, where the model says them."""
        info = self.folder / INFO_FILE
        content = json.loads(info.read_text()) if info.is_file() else {}
        return {column["input"]: column["name"] for column in content.get("columns", ())}

    def _call(self, signature: str, inputs: Inputs) -> Outputs:
        outputs = self.model.signatures[signature](**inputs)
        return {name: values.numpy() for name, values in outputs.items()}

    def _examples(self, example: tf.train.Example) -> Outputs:
        serialized = tf.constant([example.SerializeToString()])
        return self._call("serving_default", {"examples": serialized})

    def _compare(self, signature: str, inputs: Inputs, size: int) -> float:
        """Largest difference between the scores of the model and the expected scores."""
        outputs = self._call(signature, inputs)
        self._finite(signature, outputs, f"warm-up rows, {size} at once")
        worst = 0.0
        for output, values in outputs.items():
            expected = self.scores[output]
            places = np.arange(len(values)) % size % len(expected)
            scale = np.maximum(np.abs(expected[places]), 1.0)
            row = int(np.argmax(np.abs(values - expected[places]) / scale))
            difference = abs(float(values[row]) - expected[places[row]]) / scale[row]
            expect(
                difference <= self.contract["tolerance"],
                f"{signature}, warm-up request of {size} rows: row {row} has {output} "
                f"{values[row]:.6g} where the trainer gave {expected[places[row]]:.6g}",
            )
            worst = max(worst, difference)
        return worst

    def _finite(self, signature: str, outputs: Outputs, what: str) -> None:
        for output, values in outputs.items():
            bad = np.flatnonzero(~np.isfinite(values))
            expect(not len(bad), f"{signature} gives {output} that is not a number for {what}")
            if self.contract["outputs"].get(output) == "binary":
                inside = bool(np.all((values >= 0) & (values <= 1)))
                expect(inside, f"{signature} gives {output} outside 0 to 1 for {what}")

    def _refused(self, signature: str, inputs: Inputs, what: str) -> None:
        try:
            self._call(signature, inputs)
        except (TypeError, ValueError, tf.errors.OpError):
            return
        raise CheckFailedError(f"{signature} answers a request {what}")


def _types(node: Any) -> Iterator[int]:
    for value in node.attr.values():
        yield value.type
        yield from value.list.type


def _filled(values: tf.Tensor, text: str) -> tf.Tensor:
    """Batch of the same shape, full of values that training has not seen."""
    if values.dtype == tf.string:
        return tf.fill(tf.shape(values), text)
    if values.dtype == tf.int64:
        return tf.fill(tf.shape(values), tf.constant(-1 if text else 2**40, tf.int64))
    return tf.fill(tf.shape(values), 1e6 if text else -1e6)


def run(folder: str, contract: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the checks and returns the fields of `ServingReport`."""
    probe = Probe(folder, contract)
    checks: list[dict[str, Any]] = []
    for name in Probe.CHECKS:
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        try:
            getattr(probe, name)()
        except Exception as error:
            detail = (str(error).strip().splitlines() or [repr(error)])[0]
            if not isinstance(error, CheckFailedError):
                detail = f"{type(error).__name__}: {detail}"
            checks.append({"name": name, "passed": False, "detail": detail})
            if name in NEEDED_BY_THE_NEXT:
                break
        else:
            checks.append({"name": name, "passed": True, "detail": ""})
    return {"checks": checks, "latency": probe.latencies, "facts": probe.facts}


def main() -> None:
    for name in BLOCKED:
        sys.modules[name] = None  # type: ignore[assignment]
    folder, contract_file, report_file = sys.argv[1:]
    report = run(folder, json.loads(Path(contract_file).read_text()))
    Path(report_file).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
