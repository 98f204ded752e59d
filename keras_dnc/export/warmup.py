"""Requests that a server runs when it loads a model, so that no user waits for it."""

import numpy as np

from keras_dnc.export.arrays import fitting
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.endpoints import LENGTHS


def checked(inputs, shape, dtype):
    """Give warm-up inputs as the model takes them.

    Raises:
        ValueError: As `fitting`.
        ImportError: TensorFlow Serving's protocol is not installed.
    """
    _protocol()
    return fitting("warmup", inputs, dtype, shape)


def write(folder, model, signatures, inputs):
    """Write one request for each signature to where the server looks for them.

    Args:
        folder: `pathlib.Path` of the export.
        model: The served model's name.
        signatures: As `guide.signatures` gives them.
        inputs: What `checked` gave.
    """
    import tensorflow as tf

    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            request = _arrays(name, signature["inputs"], inputs)
            log = _log(model, name, request)
            writer.write(log.SerializeToString())


def _arrays(name, specs, inputs):
    """Give a request's arrays by name; states of a step are zeros."""
    batch = len(inputs)
    given = {INPUTS: inputs[:, 0] if name == "step" else inputs}
    given[BATCH_SIZE] = np.int32(batch)
    if LENGTHS in specs:
        given[LENGTHS] = np.full(batch, inputs.shape[1], "int32")
    for state, spec in specs.items():
        if state not in given:
            given[state] = np.zeros((batch, *spec["shape"][1:]), spec["dtype"])
    return {key: given[key] for key in specs}


def _log(model, signature, arrays):
    """Give one request as the server reads it at loading."""
    import tensorflow as tf

    log = _protocol().PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return log


def _protocol():
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "Argument `warmup` needs TensorFlow Serving's protocol: "
            "`pip install keras_dnc[serving]`."
        ) from error
    return prediction_log_pb2
