"""Ways to ask a served model: in this process, by REST, by gRPC.

Each has `signatures`, as `guide.signatures` gives them, and `predict`, which takes the
name of a signature and a dict of arrays, and gives a dict of arrays.
"""

import pathlib

import numpy as np

from keras_dnc.export import guide

_ANY_SIZE = ("grpc.max_receive_message_length", -1)  # else 4 MB; a state can be more
_PATIENCE = 60.0  # seconds for an answer: a first request may have to compile


def connect(target):
    """Give the transport for a target; see `StreamingClient`.

    Raises:
        ValueError: A target that is none of the known kinds, or a folder without a
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
    """Runs a SavedModel in this process.

    Args:
        folder: `pathlib.Path` of the SavedModel.
    """

    def __init__(self, folder):
        import tensorflow as tf

        self.signatures = guide.signatures(folder)
        self._loaded = tf.saved_model.load(str(folder))

    def predict(self, signature, arrays):
        """Run a signature."""
        import tensorflow as tf

        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        answer = self._loaded.signatures[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in answer.items()}


class RestTransport:
    """Asks TensorFlow Serving's REST interface.

    Args:
        url: Such as `"http://localhost:8501/v1/models/name"`.
    """

    def __init__(self, url):
        self._url = url.rstrip("/")
        self.signatures = self._read_signatures()

    def _read_signatures(self):
        from google.protobuf import json_format
        from tensorflow.core.protobuf import meta_graph_pb2

        found = self._ask("GET", "/metadata")["metadata"]["signature_def"]
        return guide.read_signatures(
            {
                name: json_format.ParseDict(said, meta_graph_pb2.SignatureDef())
                for name, said in found["signature_def"].items()
            }
        )

    def predict(self, signature, arrays):
        """Post a request."""
        inputs = {name: _plain(array) for name, array in arrays.items()}
        body = {"signature_name": signature, "inputs": inputs}
        outputs = self._ask("POST", ":predict", body)["outputs"]
        specs = self.signatures[signature]["outputs"]
        if len(specs) == 1:  # then a server leaves the name out
            outputs = dict.fromkeys(specs, outputs)
        return {
            name: np.array(outputs[name], spec["dtype"]) for name, spec in specs.items()
        }

    def _ask(self, method, path, body=None):
        import requests  # comes with TensorFlow

        answer = requests.request(
            method, self._url + path, json=body, timeout=_PATIENCE
        )
        if not answer.ok:
            raise RuntimeError(f"{self._url}{path} answered: {answer.text}")
        return answer.json()


def _plain(array):
    """Give nested lists that JSON takes; words may be bytes."""
    array = np.asarray(array)
    if array.dtype.kind != "O":
        return array.tolist()
    words = [w.decode() if isinstance(w, bytes) else str(w) for w in array.flat]
    return np.reshape(np.array(words, object), array.shape).tolist()


class GrpcTransport:
    """Asks TensorFlow Serving's gRPC interface.

    Needs `pip install keras_dnc[serving]`.

    Args:
        target: Such as `"grpc://localhost:8500/name"`.
    """

    def __init__(self, target):
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

    def _read_signatures(self):
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self._model
        request.metadata_field.append("signature_def")
        answer = self._service.GetModelMetadata(request, timeout=_PATIENCE)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return guide.read_signatures(found.signature_def)

    def predict(self, signature, arrays):
        """Send a request."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._service.Predict(request, timeout=_PATIENCE)
        return {n: tf.make_ndarray(proto) for n, proto in answer.outputs.items()}
