"""Transports that run a served model: in this process, by REST, by gRPC.

Each transport has the attributes `server`, the name of the server for messages, and
`signatures`, a dict as `guide.signatures` returns it, and a method `predict`, which
maps the name of a signature and a dict of arrays to a dict of outputs. Every failure of
a server raises `ServerError`. Transports do not compare outputs with the signature:
`StreamingClient` does so for all of them.
"""

import contextlib
import functools
import json
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from keras_dnc.export import guide
from keras_dnc.export.versions import versions_in

Answer: TypeAlias = dict[str, Any]  # arrays or nested lists, by the names of outputs
_Result = TypeVar("_Result")

_ANY_SIZE = ("grpc.max_receive_message_length", -1)  # default 4 MB; states may be more
_PATIENCE = 60.0  # seconds to wait for an answer: the first request may compile
_LONGEST = 1e6  # seconds; sockets count milliseconds, up to 2**31
_CHUNK = 2**16  # bytes read between two looks at the clock
_EXCERPT = 2000  # characters of an error page, which may be long


class ServerError(RuntimeError):
    """Failure of a served model to answer as its signatures say.

    `StreamingClient` raises it if the server cannot be reached, does not finish its
    answer in time, reports an error, or sends an answer that is malformed or does not
    fit the model: other names, shapes or dtypes, NaN or infinity. The error that was
    found first, if any, is its `__cause__`.

    Args:
        server: The target of the client: folder or address of the served model.
        problem: Description of the failure.

    Attributes:
        server: The target of the client.
        problem: Description of the failure.

    Example:
        >>> print(ServerError("grpc://localhost:8500/delay", "gave no answer"))
        grpc://localhost:8500/delay: gave no answer
    """

    def __init__(self, server: str, problem: str) -> None:
        super().__init__(server, problem)  # both, so that the error can be pickled
        self.server = server
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.server}: {self.problem}"


@contextlib.contextmanager
def server_errors(
    server: str, problem: str, *errors: type[BaseException]
) -> Iterator[None]:
    """Raise `ServerError` in place of other errors, which become its cause.

    Args:
        server: Name of the server.
        problem: Description of the failure; type and text of the error are added.
        *errors: Types of the errors to replace.

    Raises:
        ServerError: If an error of one of these types is raised inside.

    Example:
        >>> with server_errors("grpc://host/m", "failed", KeyError):
        ...     {}["a"]
        Traceback (most recent call last):
        ...
        keras_dnc.export.transports.ServerError: grpc://host/m: failed (KeyError: 'a')
    """
    try:
        yield
    except errors as error:
        found = f"{type(error).__name__}: {error}"
        raise ServerError(server, f"{problem} ({found})") from error


class Transport(Protocol):
    """Interface of all transports.

    Attributes:
        server: Name of the server, for messages.
        signatures: Dict from the name of each signature to
            `{"inputs": ..., "outputs": ...}`, each a dict from tensor names to
            `{"dtype": ..., "shape": ...}`. The size of a free axis is `None`.
    """

    server: str
    signatures: guide.Signatures

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Answer:
        """Run a signature on arrays by name and return its outputs by name."""


def connect(target: str | os.PathLike[str], timeout: float = _PATIENCE) -> Transport:
    """Return a transport for a served model.

    Args:
        target: The folder of a SavedModel (`serving/name/1`) or of its versions
            (`serving/name`, for the newest), the URL of TensorFlow
            Serving's REST interface (`"http://host:8501/v1/models/name"`) or of its
            gRPC interface (`"grpc://host:8500/name"`).
        timeout: Seconds to wait for each whole answer of a server. Defaults to 60.

    Returns:
        `SavedModelTransport`, `RestTransport` or `GrpcTransport`.

    Raises:
        ServerError: If the signatures of the model cannot be read.
        ValueError: If `target` is of none of these kinds, or a folder without a
            SavedModel.
    """
    timeout = min(float(timeout), _LONGEST)
    if str(target).startswith(("http://", "https://")):
        return RestTransport(str(target), timeout)
    if str(target).startswith("grpc://"):
        return GrpcTransport(str(target), timeout)
    return SavedModelTransport(_newest_version(pathlib.Path(target)))


def _newest_version(folder: pathlib.Path) -> pathlib.Path:
    """Return the folder of a SavedModel, or the newest version in a folder of them."""
    if (folder / "saved_model.pb").exists():
        return folder
    versions = versions_in(folder)
    whole = [n for n, path in versions.items() if (path / "saved_model.pb").exists()]
    if whole:
        return versions[max(whole)]
    raise ValueError(
        "Argument `target` must be the folder of a SavedModel or of its versions, "
        "'http://host:port/v1/models/name' or 'grpc://host:port/name'. "
        f"Received: target={str(folder)!r}"
        + ("" if folder.exists() else ", which does not exist")
    )


class SavedModelTransport:
    """Run a SavedModel in this process.

    Args:
        folder: Path of the SavedModel.

    Attributes:
        server: Path of the SavedModel.
        signatures: Names, dtypes and shapes of the tensors of each signature.

    Raises:
        ServerError: If TensorFlow cannot load the SavedModel.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        import tensorflow as tf

        self.server = str(folder)
        # Any exception: the type depends on which file is damaged, and how.
        with server_errors(self.server, "cannot be loaded", Exception):
            self.signatures = guide.signatures(folder)
            self._loaded = tf.saved_model.load(str(folder))

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Answer:
        """Run a signature.

        Args:
            signature: Name of the signature.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to arrays.

        Raises:
            ServerError: If TensorFlow refuses the inputs or fails.
        """
        import tensorflow as tf

        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        with server_errors(self.server, f"`{signature}` failed", tf.errors.OpError):
            answer = self._loaded.signatures[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in answer.items()}


class RestTransport:
    """Send requests to TensorFlow Serving's REST interface.

    Args:
        url: URL of the model, such as `"http://localhost:8501/v1/models/name"`.
        timeout: Seconds to wait for each whole answer, from the connection to the last
            byte. Defaults to 60.

    Attributes:
        server: URL of the model.
        signatures: Names, dtypes and shapes of the tensors of each signature.

    Raises:
        ServerError: If the server gives no answer in time, or one that does not
            describe a model.
    """

    def __init__(self, url: str, timeout: float = _PATIENCE) -> None:
        self.server = url.rstrip("/")
        self._timeout = timeout
        self.signatures = self._read_signatures()

    def _read_signatures(self) -> guide.Signatures:
        """Ask the server for the signatures of the model."""
        from google.protobuf import json_format
        from tensorflow.core.protobuf import meta_graph_pb2

        answer = self._ask("GET", "/metadata")
        # Any exception: JSON of another form may break the parsers at any place.
        with server_errors(self.server, "malformed metadata", Exception):
            found = answer["metadata"]["signature_def"]["signature_def"]
            return guide.read_signatures(
                {
                    name: json_format.ParseDict(said, meta_graph_pb2.SignatureDef())
                    for name, said in found.items()
                }
            )

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Answer:
        """Run a signature by a POST request.

        Args:
            signature: Name of the signature.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to nested lists, as the server sent them.

        Raises:
            ServerError: If the server gives no answer in time, reports an error, or
                sends no outputs by name.
        """
        inputs = {name: _plain(array) for name, array in arrays.items()}
        body = {"signature_name": signature, "inputs": inputs}
        answer = self._ask("POST", ":predict", body)
        specs = self.signatures[signature]["outputs"]
        problem = f"no outputs by name in the answer of `{signature}`"
        with server_errors(self.server, problem, KeyError, TypeError):
            outputs = answer["outputs"]
            if len(specs) == 1:  # the server then omits the name
                return dict.fromkeys(specs, outputs)
            return {**outputs}

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send an HTTP request and return the decoded answer."""
        from urllib3.exceptions import HTTPError  # rare ones pass through requests

        fetch = functools.partial(
            _fetch, method, self.server + path, body, self._timeout
        )
        problem = f"no answer to `{path}`"
        with server_errors(self.server, problem, OSError, ValueError, HTTPError):
            status, content = _within(self._timeout, fetch)
        if status >= 400:
            text = content[:_EXCERPT].decode(errors="replace")
            raise ServerError(
                self.server, f"`{path}` answered with HTTP status {status}: {text}"
            )
        problem = f"the answer to `{path}` is not JSON"
        with server_errors(self.server, problem, ValueError, RecursionError):
            return json.loads(content)


def _within(seconds: float, call: Callable[[], _Result]) -> _Result:
    """Return the result of a call, or raise `TimeoutError` after some seconds.

    The timeout of `requests` covers each read alone, so that a server could go on for
    ever by sending one byte at a time. The caller waits for a thread instead.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    # A daemon: an abandoned request must not keep the process from ending.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        raise TimeoutError(f"no whole answer within {seconds:g} seconds")
    return future.result()


def _fetch(method: str, url: str, body: Any, timeout: float) -> tuple[int, bytes]:
    """Send an HTTP request and return the status and the content of the answer."""
    import requests  # comes with TensorFlow

    end = time.monotonic() + timeout
    content = bytearray()
    with requests.request(
        method, url, json=body, timeout=timeout, stream=True
    ) as answer:
        for chunk in answer.iter_content(_CHUNK):
            content += chunk
            if time.monotonic() > end:  # ends the thread of an abandoned request
                raise TimeoutError(f"no whole answer within {timeout:g} seconds")
        return answer.status_code, bytes(content)


def _plain(array: Any) -> Any:
    """Convert an array to nested lists for JSON, and bytes to strings."""
    array = np.asarray(array)
    if array.dtype.kind != "O":
        return array.tolist()
    words = [w.decode() if isinstance(w, bytes) else str(w) for w in array.flat]
    return np.reshape(np.array(words, object), array.shape).tolist()


class GrpcTransport:
    """Send requests to TensorFlow Serving's gRPC interface.

    This class needs `pip install keras_dnc[serving]`.

    Args:
        target: Address of the model, such as `"grpc://localhost:8500/name"`.
        timeout: Seconds to wait for each whole answer, from the connection to the last
            byte. Defaults to 60.

    Attributes:
        server: Address of the model.
        signatures: Names, dtypes and shapes of the tensors of each signature.

    Raises:
        ServerError: If the server gives no answer in time, or one that does not
            describe a model.
        ValueError: If `target` does not name a model.
    """

    def __init__(self, target: str, timeout: float = _PATIENCE) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        address, _, self._model = target.removeprefix("grpc://").partition("/")
        if not self._model:
            raise ValueError(
                "Argument `target` must name a model: 'grpc://host:port/name'. "
                f"Received: target={target!r}"
            )
        self.server = target
        self._timeout = timeout
        channel = grpc.insecure_channel(address, [_ANY_SIZE])
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.signatures = self._read_signatures()

    def _read_signatures(self) -> guide.Signatures:
        """Ask the server for the signatures of the model."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self._model
        request.metadata_field.append("signature_def")
        answer = self._ask("GetModelMetadata", request)
        found = get_model_metadata_pb2.SignatureDefMap()
        # Any exception: protobuf and TensorFlow raise errors of many types.
        with server_errors(self.server, "malformed metadata", Exception):
            if not answer.metadata["signature_def"].Unpack(found):
                raise ValueError("no `signature_def`")
            return guide.read_signatures(found.signature_def)

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Answer:
        """Run a signature by a gRPC request.

        Args:
            signature: Name of the signature.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to arrays.

        Raises:
            ServerError: If the server gives no answer in time, reports an error, or
                sends malformed tensors.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._ask("Predict", request)
        problem = f"malformed tensors in the answer of `{signature}`"
        # Any exception: what TensorFlow raises depends on what is malformed.
        with server_errors(self.server, problem, Exception):
            return {n: tf.make_ndarray(proto) for n, proto in answer.outputs.items()}

    def _ask(self, method: str, request: Any) -> Any:
        """Call a method of the service; its timeout covers the whole answer."""
        import grpc

        try:
            return getattr(self._service, method)(request, timeout=self._timeout)
        except grpc.RpcError as error:
            problem = f"`{method}` failed, {error.code().name}: {error.details()}"
            raise ServerError(self.server, problem) from error
