"""Warm-up requests, which a server runs while it loads a model."""

import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from keras_dnc.export.arrays import fitting
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.endpoints import LENGTHS
from keras_dnc.export.guide import Signatures
from keras_dnc.export.guide import Specs
from keras_dnc.typing import Shape


def checked(inputs: Any, shape: Shape, dtype: str) -> np.ndarray:
    """Convert warm-up inputs to the dtype of the model's input.

    Args:
        inputs: `(batch, time, ...)`, numbers or strings.
        shape: Shape of the model's input; `None` for axes of any size.
        dtype: Name of the dtype of the model's input.

    Returns:
        `numpy.ndarray` `(batch, time, ...)` of that dtype.

    Raises:
        ValueError: If the inputs have another shape or another kind of dtype, hold
            integers outside the range of `dtype`, or hold NaN or infinity.
        ImportError: If TensorFlow Serving's protocol is not installed.
    """
    _protocol()
    return fitting("warmup", inputs, dtype, shape)


def write(
    folder: pathlib.Path, model: str, signatures: Signatures, inputs: np.ndarray
) -> None:
    """Write one request for each signature to the warm-up file of an export.

    Args:
        folder: Path of the SavedModel.
        model: Name of the served model.
        signatures: Signatures of the SavedModel, from `guide.signatures`.
        inputs: `(batch, time, ...)`, warm-up inputs of the model's dtype.
    """
    import tensorflow as tf

    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            request = _arrays(name, signature["inputs"], inputs)
            log = _log(model, name, request)
            writer.write(log.SerializeToString())


def _arrays(name: str, specs: Specs, inputs: np.ndarray) -> dict[str, Any]:
    """Return the arrays of a request by name; the states of a step are zeros."""
    batch = len(inputs)
    given: dict[str, Any] = {INPUTS: inputs[:, 0] if name == "step" else inputs}
    given[BATCH_SIZE] = np.int32(batch)
    if LENGTHS in specs:
        given[LENGTHS] = np.full(batch, inputs.shape[1], "int32")
    for state, spec in specs.items():
        if state not in given:
            given[state] = np.zeros((batch, *spec["shape"][1:]), spec["dtype"])
    return {key: given[key] for key in specs}


def _log(model: str, signature: str, arrays: Mapping[str, Any]) -> Any:
    """Return one request as the `PredictionLog` that the server reads."""
    import tensorflow as tf

    log = _protocol().PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return log


def _protocol() -> ModuleType:
    """Import TensorFlow Serving's messages, or say how to install them."""
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "Argument `warmup` needs TensorFlow Serving's protocol: "
            "`pip install keras_dnc[serving]`."
        ) from error
    return prediction_log_pb2
