"""`taskroute serve`: TensorFlow Serving's two interfaces on a laptop, for clients and tests.

Predict and GetModelMetadata over gRPC, and the REST form. One version, no batching, no reloading:
production traffic needs TensorFlow Serving itself (docs/serving.md).
"""

import asyncio
import base64
import binascii
import json
import math
import re
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from taskroute.pipeline.server.served_model import ExportedModel

_THREADS = 8
_MAX_REQUEST_BYTES = 256 << 20


class RequestError(Exception):
    """Reason in one sentence why a request cannot be answered."""


class NotServedError(RequestError):
    """Request for a model, version or signature that is not served."""


class LoadedModel:
    """SavedModel in memory, called by signature and named arrays."""

    def __init__(self, model: ExportedModel):
        self.name, self.version = model.info.name, model.version
        self._model = tf.saved_model.load(str(model.folder))
        content = (model.folder / "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
        self.signature_defs = {
            name: definition
            for name, definition in graph.signature_def.items()
            if name in self._model.signatures
        }
        # Clients know inputs by the names in the file, TensorFlow by arguments of a function.
        self._arguments = {
            name: {_argument(key, function): key for key in self.signature_defs[name].inputs}
            for name, function in self._model.signatures.items()
        }
        self.inputs: dict[str, dict[str, tf.TensorSpec]] = {
            name: {
                self._arguments[name][argument]: spec
                for argument, spec in function.structured_input_signature[1].items()
            }
            for name, function in self._model.signatures.items()
        }

    def predict(
        self, signature: str, arrays: Mapping[str, np.ndarray], names: tuple[str, ...] = ()
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: Name of the signature; "" is `serving_default`.
            arrays: Inputs by name.
            names: Names of outputs; all if empty.

        Raises:
            RequestError: If the inputs do not fit the signature, or the model refuses them.
        """
        signature = signature or "serving_default"
        specs = self.specs(signature)
        if set(arrays) != set(specs):
            raise RequestError(
                f"signature {signature} takes {sorted(specs)}. Received: {sorted(arrays)}"
            )
        tensors = {}
        for name, array in arrays.items():
            spec = specs[name]
            if tf.as_dtype(array.dtype) != spec.dtype or not spec.shape.is_compatible_with(
                array.shape
            ):
                raise RequestError(
                    f"input {name} must be {spec.dtype.name} {spec.shape}. Received: "
                    f"{tf.as_dtype(array.dtype).name} {array.shape}"
                )
            tensors[name] = tf.constant(array, spec.dtype)
        try:
            arguments = self._arguments[signature]
            inputs = {argument: tensors[name] for argument, name in arguments.items()}
            outputs = self._model.signatures[signature](**inputs)
            values = {name: outputs[name].numpy() for name in sorted(outputs)}
        except UnicodeDecodeError as error:  # TensorFlow quotes what it could not parse
            raise RequestError(f"signature {signature} cannot parse an input") from error
        except (tf.errors.OpError, ValueError) as error:
            raise RequestError(str(error).splitlines()[0]) from error
        unknown = [name for name in names if name not in values]
        if unknown:
            raise RequestError(f"there is no output {unknown[0]}; there are {sorted(values)}")
        return {name: value for name, value in values.items() if not names or name in names}

    def specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Inputs of a signature by name.

        Raises:
            NotServedError: If there is no such signature.
        """
        if signature not in self.inputs:
            raise NotServedError(
                f"there is no signature {signature}; there are {sorted(self.inputs)}"
            )
        return self.inputs[signature]

    def require(self, name: str, version: int | None) -> None:
        """Raises NotServedError if this is another model or version."""
        if name != self.name or version not in (None, self.version):
            model = name if version is None else f"{name}, version {version}"
            raise NotServedError(
                f"{model} is not served here; {self.name}, version {self.version}, is"
            )


def _argument(key: str, function: Any) -> str:
    """Argument of a signature's function for an input of its definition."""
    arguments = function.structured_input_signature[1]
    # TensorFlow writes dots and dashes as underscores.
    argument = key if key in arguments else re.sub(r"[^A-Za-z0-9]", "_", key)
    return argument if argument in arguments else f"arg_{argument}"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """gRPC interface; its other methods answer UNIMPLEMENTED."""

    def __init__(self, model: LoadedModel):
        self._model = model

    def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs a signature on named tensors."""

        def answer() -> predict_pb2.PredictResponse:
            self._require(request.model_spec)
            try:
                arrays = {name: tf.make_ndarray(x) for name, x in request.inputs.items()}
            except (ValueError, TypeError) as error:
                raise RequestError(f"an input is no tensor: {error}") from error
            response = predict_pb2.PredictResponse()
            signature = request.model_spec.signature_name or "serving_default"
            names = tuple(request.output_filter)
            for name, value in self._model.predict(signature, arrays, names).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            self._fill(response.model_spec, signature)
            return response

        return _or_status(answer, context)

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Gives names, types and shapes of all signatures: the field `signature_def`."""

        def answer() -> get_model_metadata_pb2.GetModelMetadataResponse:
            self._require(request.model_spec)
            if list(request.metadata_field) != ["signature_def"]:
                raise RequestError("`metadata_field` must be signature_def alone")
            return metadata(self._model)

        return _or_status(answer, context)

    def _require(self, spec: Any) -> None:
        version = spec.version.value if spec.HasField("version") else None
        self._model.require(spec.name, version)

    def _fill(self, spec: Any, signature: str) -> None:
        spec.name, spec.version.value, spec.signature_name = (
            self._model.name,
            self._model.version,
            signature,
        )


def metadata(model: LoadedModel) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Description of the model for clients: name, version and signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in model.signature_defs.items():
        signatures.signature_def[name].CopyFrom(definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name, response.model_spec.version.value = model.name, model.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def rest_application(model: LoadedModel) -> web.Application:
    """TensorFlow Serving's REST form: status, metadata and `:predict`."""
    pool = ThreadPoolExecutor(_THREADS)

    def required(request: web.Request) -> None:
        version = request.match_info.get("version")
        model.require(request.match_info["name"], int(version) if version else None)

    async def status(request: web.Request) -> web.Response:
        required(request)
        state = {"version": str(model.version), "state": "AVAILABLE"}
        ok = {"error_code": "OK", "error_message": ""}
        return web.json_response({"model_version_status": [{**state, "status": ok}]})

    async def describe(request: web.Request) -> web.Response:
        required(request)
        return web.json_response(json_format.MessageToDict(metadata(model), True, True))

    async def predict(request: web.Request) -> web.Response:
        required(request)
        body = await request.read()
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(pool, _answer_json, model, body)
        return web.json_response(answer)

    application = web.Application(client_max_size=_MAX_REQUEST_BYTES, middlewares=[_errors_as_json])
    for base in ("/v1/models/{name:[^/:]+}", "/v1/models/{name:[^/:]+}/versions/{version:[0-9]+}"):
        application.router.add_get(base, status)
        application.router.add_get(f"{base}/metadata", describe)
        application.router.add_post(f"{base}:predict", predict)
    return application


async def serve(
    model: LoadedModel,
    host: str,
    port: int,
    rest_port: int,
    on_ready: Callable[[int, int], None],
) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        model: Model to serve.
        host: Address to listen on.
        port: Port of gRPC; 0 takes a free one.
        rest_port: Port of REST; 0 takes a free one.
        on_ready: Callback that gets both ports once they answer.

    Raises:
        OSError: If a port is taken.
    """
    options = [("grpc.max_receive_message_length", _MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(model), server
    )
    try:
        port = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"port {port} of {host} cannot be listened on") from error
    runner = web.AppRunner(rest_application(model), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, rest_port)
    await site.start()
    server.start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    on_ready(port, runner.addresses[0][1])
    await stopped.wait()
    server.stop(grace=1).wait()
    await runner.cleanup()


@web.middleware
async def _errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except NotServedError as error:
        return web.json_response({"error": str(error)}, status=404)
    except RequestError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    return response


def _or_status(answer: Callable[[], Any], context: grpc.ServicerContext) -> Any:
    try:
        return answer()
    except NotServedError as error:
        context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except (RequestError, DecodeError) as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def _answer_json(model: LoadedModel, body: bytes) -> dict[str, Any]:
    """Answers the body of a `:predict`, by rows or by columns as the request is."""
    try:
        content = json.loads(body)
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict) or ("instances" in content) == ("inputs" in content):
        raise RequestError("the body must be an object with either `instances` or `inputs`")
    signature = content.get("signature_name", "serving_default")
    specs = model.specs(signature)
    if "inputs" in content:
        columns = content["inputs"]
        if not isinstance(columns, dict):
            columns = {_only(specs): columns}
    else:
        columns = _columns_of(content["instances"], specs)
    arrays = {name: _array(name, value, specs) for name, value in columns.items()}
    outputs = {name: _json_numbers(x) for name, x in model.predict(signature, arrays).items()}
    if "inputs" in content:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def _columns_of(instances: Any, specs: Mapping[str, tf.TensorSpec]) -> dict[str, list[Any]]:
    if not isinstance(instances, list) or not instances:
        raise RequestError("`instances` must be a list of rows")
    if not all(isinstance(row, dict) and "b64" not in row for row in instances):
        return {_only(specs): instances}
    names = set(instances[0])
    if any(set(row) != names for row in instances):
        raise RequestError("all `instances` must have the same inputs")
    return {name: [row[name] for row in instances] for name in instances[0]}


def _only(specs: Mapping[str, tf.TensorSpec]) -> str:
    if len(specs) != 1:
        raise RequestError(f"inputs must be named: {sorted(specs)}")
    return next(iter(specs))


def _array(name: str, value: Any, specs: Mapping[str, tf.TensorSpec]) -> np.ndarray:
    if name not in specs:
        raise RequestError(f"there is no input {name}; there are {sorted(specs)}")
    dtype = specs[name].dtype
    try:
        if dtype == tf.string:
            return np.array(_texts(value), object)
        array = np.array(value, dtype.as_numpy_dtype)
    except (TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise RequestError(f"input {name} cannot be read as {dtype.name}: {error}") from error
    return array


def _texts(value: Any) -> Any:
    """Encodes texts at any depth as bytes; `{"b64": ...}` is bytes already."""
    match value:
        case list():
            return [_texts(part) for part in value]
        case str():
            return value.encode()
        case {"b64": str(encoded)}:
            return base64.b64decode(encoded, validate=True)
    raise ValueError(f"{value!r} is no text")


def _json_numbers(values: np.ndarray) -> list[Any]:
    """Numbers for JSON, which has no NaN: it becomes text, as in TensorFlow Serving."""
    numbers = values.tolist()
    return [x if math.isfinite(x) else str(x) for x in numbers]
