"""Transports that run a served model: in this process, by REST, by gRPC.

Each transport has an attribute `signatures`, a dict as `guide.signatures` returns it,
and a method `predict`, which maps the name of a signature and a dict of arrays to a
dict of arrays.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from keras_dnc.export import guide

Arrays: TypeAlias = dict[str, np.ndarray]

_ANY_SIZE = ("grpc.max_receive_message_length", -1)  # default 4 MB; states may be more
_PATIENCE = 60.0  # seconds to wait for an answer: the first request may compile


class Transport(Protocol):
    """Interface of all transports.

    Attributes:
        signatures: Dict from the name of each signature to
            `{"inputs": ..., "outputs": ...}`, each a dict from tensor names to
            `{"dtype": ..., "shape": ...}`. The size of a free axis is `None`.
    """

    signatures: guide.Signatures

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Arrays:
        """Run a signature on arrays by name and return its outputs by name."""


def connect(target: str | os.PathLike[str]) -> Transport:
    """Return a transport for a served model.

    Args:
        target: The folder of a SavedModel (`serving/name/1`), the URL of TensorFlow
            Serving's REST interface (`"http://host:8501/v1/models/name"`) or of its
            gRPC interface (`"grpc://host:8500/name"`).

    Returns:
        `SavedModelTransport`, `RestTransport` or `GrpcTransport`.

    Raises:
        ValueError: If `target` is of none of these kinds, or a folder without a
            SavedModel.
    """
    if str(target).startswith(("http://", "https://")):
        return RestTransport(str(target))
    if str(target).startswith("grpc://"):
        return GrpcTransport(str(target))
    if not (pathlib.Path(target) / "saved_model.pb").exists():
        raise ValueError(
            "Argument `target` must be the folder of a SavedModel, "
            "'http://host:port/v1/models/name' or 'grpc://host:port/name'. "
            f"Received: target={str(target)!r}"
        )
    return SavedModelTransport(pathlib.Path(target))


class SavedModelTransport:
    """Run a SavedModel in this process.

    Args:
        folder: Path of the SavedModel.

    Attributes:
        signatures: Names, dtypes and shapes of the tensors of each signature.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        import tensorflow as tf

        self.signatures = guide.signatures(folder)
        self._loaded = tf.saved_model.load(str(folder))

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Arrays:
        """Run a signature.

        Args:
            signature: Name of the signature.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to arrays.
        """
        import tensorflow as tf

        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        answer = self._loaded.signatures[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in answer.items()}


class RestTransport:
    """Send requests to TensorFlow Serving's REST interface.

    Args:
        url: URL of the model, such as `"http://localhost:8501/v1/models/name"`.

    Attributes:
        signatures: Names, dtypes and shapes of the tensors of each signature.

    Raises:
        RuntimeError: If the server answers with an error.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self.signatures = self._read_signatures()

    def _read_signatures(self) -> guide.Signatures:
        """Ask the server for the signatures of the model."""
        from google.protobuf import json_format
        from tensorflow.core.protobuf import meta_graph_pb2

        found = self._ask("GET", "/metadata")["metadata"]["signature_def"]
        return guide.read_signatures(
            {
                name: json_format.ParseDict(said, meta_graph_pb2.SignatureDef())
                for name, said in found["signature_def"].items()
            }
        )

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Arrays:
        """Run a signature by a POST request.

        Args:
            signature: Name of the signature.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to arrays.

        Raises:
            RuntimeError: If the server answers with an error.
        """
        inputs = {name: _plain(array) for name, array in arrays.items()}
        body = {"signature_name": signature, "inputs": inputs}
        outputs = self._ask("POST", ":predict", body)["outputs"]
        specs = self.signatures[signature]["outputs"]
        if len(specs) == 1:  # the server then omits the name
            outputs = dict.fromkeys(specs, outputs)
        return {
            name: np.array(outputs[name], spec["dtype"]) for name, spec in specs.items()
        }

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send an HTTP request and return the decoded answer."""
        import requests  # comes with TensorFlow

        answer = requests.request(
            method, self._url + path, json=body, timeout=_PATIENCE
        )
        if not answer.ok:
            raise RuntimeError(f"{self._url}{path} answered: {answer.text}")
        return answer.json()


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

    Attributes:
        signatures: Names, dtypes and shapes of the tensors of each signature.

    Raises:
        ValueError: If `target` does not name a model.
    """

    def __init__(self, target: str) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        address, _, self._model = target.removeprefix("grpc://").partition("/")
        if not self._model:
            raise ValueError(
                "Argument `target` must name a model: 'grpc://host:port/name'. "
                f"Received: target={target!r}"
            )
        channel = grpc.insecure_channel(address, [_ANY_SIZE])
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.signatures = self._read_signatures()

    def _read_signatures(self) -> guide.Signatures:
        """Ask the server for the signatures of the model."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self._model
        request.metadata_field.append("signature_def")
        answer = self._service.GetModelMetadata(request, timeout=_PATIENCE)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return guide.read_signatures(found.signature_def)

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> Arrays:
        """Run a signature by a gRPC request.

        Args:
            signature: Name of the signature.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to arrays.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._service.Predict(request, timeout=_PATIENCE)
        return {n: tf.make_ndarray(proto) for n, proto in answer.outputs.items()}
