"""Warm-up requests, which a server runs while it loads a model."""

import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from keras_dnc.export.arrays import fitting
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.endpoints import LENGTHS
from keras_dnc.export.guide import Signatures
from keras_dnc.export.guide import Specs
from keras_dnc.typing import Shape

Arrays: TypeAlias = Mapping[str, np.ndarray]


def checked(inputs: Any, specs: Mapping[str, tuple[Shape, str]]) -> Arrays:
    """Convert warm-up inputs to the dtypes of the model's inputs.

    Args:
        inputs: `(batch, time, ...)`, numbers or strings; a dict of such arrays by name
            if there are several inputs.
        specs: Shape and dtype of each input by name, from `endpoints.input_specs`.

    Returns:
        Dict from names to arrays of these dtypes.

    Raises:
        ValueError: If an input is missing, has another shape or another kind of dtype,
            holds integers outside the range of its dtype, or holds NaN or infinity.
        ImportError: If TensorFlow Serving's protocol is not installed.
    """
    _protocol()
    if not isinstance(inputs, Mapping) and len(specs) == 1:
        (name,) = specs
        inputs = {name: inputs}
    if not isinstance(inputs, Mapping) or set(inputs) != set(specs):
        raise ValueError(
            "Argument `warmup` must be a dict of arrays, one for each input of the "
            f"model, {list(specs)}. Received: warmup={inputs!r}"
        )
    return {
        name: fitting("warmup", inputs[name], dtype, shape)
        for name, (shape, dtype) in specs.items()
    }


def write(
    folder: pathlib.Path, model: str, signatures: Signatures, inputs: Arrays
) -> None:
    """Write one request for each signature to the warm-up file of an export.

    Args:
        folder: Path of the SavedModel.
        model: Name of the served model.
        signatures: Signatures of the SavedModel, from `guide.signatures`.
        inputs: Dict from names to warm-up inputs, from `checked`.
    """
    import tensorflow as tf

    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            request = _arrays(name, signature["inputs"], inputs)
            log = _log(model, name, request)
            writer.write(log.SerializeToString())


def _arrays(name: str, specs: Specs, inputs: Arrays) -> dict[str, Any]:
    """Return the arrays of a request by name; the states of a step are zeros."""
    given: dict[str, Any] = dict(inputs)
    first = next(iter(inputs.values()))
    batch = len(first)
    if name == "step":
        given[INPUTS] = first[:, 0]
    given[BATCH_SIZE] = np.int32(batch)
    if LENGTHS in specs:
        given[LENGTHS] = np.full(batch, first.shape[1], "int32")
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
