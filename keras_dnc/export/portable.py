"""ONNX and LiteRT files, made of what `export_for_serving` has written."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.export import guide

_TRIAL_STEPS = 8  # of a LiteRT file: time for a few slots to be written and read
_TOLERANCE = 1e-4  # of numbers of about 1
_OPSET = 17  # with which every cell's numbers were compared


def export_onnx(
    folder: str | os.PathLike,
    path: str | os.PathLike,
    signature: str = "serving_default",
) -> pathlib.Path:
    """Write one signature of an export as an ONNX file.

    Names stay, but an ONNX file cannot give what it takes: the new states of `step` are
    `new_memory` and so on. Needs `pip install keras_dnc[onnx]`.

    Args:
        folder: Path that `export_for_serving` gave.
        path: The file to write, such as `model.onnx`.
        signature: Which of the export's signatures.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ValueError: A signature that the export has not.
        ImportError: `tf2onnx` is not installed.
        RuntimeError: `tf2onnx` failed; the message is its own.

    Example:
        ```python
        export_onnx("serving/delay/1", "delay.onnx")
        session = onnxruntime.InferenceSession("delay.onnx")
        (outputs,) = session.run(["outputs"], {"inputs": sequences})
        ```
    """
    import tensorflow as tf

    folder, path = pathlib.Path(folder), pathlib.Path(path)
    check_choice("signature", signature, list(guide.signatures(folder)))
    if importlib.util.find_spec("tf2onnx") is None:
        raise ImportError("`export_onnx` needs tf2onnx: `pip install keras_dnc[onnx]`.")
    with tempfile.TemporaryDirectory() as renamed:
        loaded = tf.saved_model.load(str(folder))
        _save(loaded, {signature: _renamed(loaded.signatures[signature])}, renamed)
        done = subprocess.run(
            # In a process of its own: it switches off TensorFlow's eager execution.
            [sys.executable, "-m", "tf2onnx.convert", "--saved-model", renamed]
            + ["--signature_def", signature, "--tag", "serve"]
            + ["--opset", str(_OPSET), "--output", str(path)],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"tf2onnx could not convert {folder}:\n{done.stderr}")
    return path


def _renamed(signature):
    """Give a signature none of whose outputs has the name of an input."""
    import tensorflow as tf

    _, specs = signature.structured_input_signature

    def run(**request):
        answer = signature(**request)
        return {f"new_{n}" if n in request else n: t for n, t in answer.items()}

    return tf.function(run).get_concrete_function(**specs)


def _save(loaded, functions, folder):
    """Save functions of a SavedModel as another one."""
    import tensorflow as tf

    module = tf.Module()
    module.loaded = loaded  # keeps its weights
    no_training = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, functions, no_training)


def export_litert(
    folder: str | os.PathLike, path: str | os.PathLike, batch_size: int = 1
) -> pathlib.Path:
    """Write `step` and `initial_state` of an export as a LiteRT file.

    For small devices. Sizes are fixed, for else a device needs TensorFlow's own
    operations ("Flex"); step by step, sequences of any length can be run all the same.
    `initial_state` takes nothing here. For models whose inputs are numbers.

    Args:
        folder: Path that `export_for_serving` gave.
        path: The file to write, such as `model.tflite`.
        batch_size: Sequences side by side.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ValueError: An export without `step`, or a batch size that is no positive
            integer.
        RuntimeError: LiteRT cannot run the file, or gives other numbers, as it does of
            sparse memories: each file is tried for a few steps.

    Example:
        ```python
        export_litert("serving/delay/1", "delay.tflite")
        interpreter = tf.lite.Interpreter("delay.tflite")
        state = interpreter.get_signature_runner("initial_state")()
        answer = interpreter.get_signature_runner("step")(inputs=inputs, **state)
        ```
    """
    import tensorflow as tf

    folder, path = pathlib.Path(folder), pathlib.Path(path)
    batch_size = positive_integer("batch_size", batch_size)
    signatures = guide.signatures(folder)
    check_choice("signature", "step", list(signatures))
    dtype = signatures["step"]["inputs"]["inputs"]["dtype"]
    if dtype == "string":
        raise ValueError(
            "Argument `folder` must be the export of a model that takes numbers. "
            f"Received: one whose inputs are {dtype}"
        )
    loaded = tf.saved_model.load(str(folder))
    functions = _of_fixed_batch(loaded.signatures, batch_size)
    with tempfile.TemporaryDirectory() as fixed:
        _save(loaded, functions, fixed)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            fixed, signature_keys=list(functions)
        )
        try:
            content = converter.convert()
        except Exception as error:  # the converter's own class is not public
            raise RuntimeError(f"LiteRT cannot run this model: {error}") from error
    _check_numbers(content, functions)
    path.write_bytes(content)
    return path


def _check_numbers(content, functions):
    """Raise a `RuntimeError` unless LiteRT gives what TensorFlow gives."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=content)
    step, start = map(interpreter.get_signature_runner, ("step", "initial_state"))
    state = dict(functions["initial_state"]())
    try:
        difference = _difference(state, start())
        for inputs in _trial(functions["step"]):
            answer = functions["step"](inputs=inputs, **state)
            found = step(inputs=inputs, **{n: t.numpy() for n, t in state.items()})
            difference = np.max([difference, _difference(answer, found)])
            state = {name: answer[name] for name in state}
    except (RuntimeError, ValueError) as error:
        raise RuntimeError(f"LiteRT cannot run this model: {error}") from error
    if not difference <= _TOLERANCE:
        raise RuntimeError(
            "LiteRT gives other numbers for this model than TensorFlow: they differ by "
            f"{difference:.2g}."
        )


def _difference(expected, found):
    # NumPy's maximum, unlike Python's, is NaN where anything is.
    return np.max([np.max(np.abs(expected[n] - found[n])) for n in expected])


def _trial(step):
    """Yield a few inputs, as NumPy arrays, for a step of fixed sizes."""
    rng = np.random.default_rng(0)
    spec = step.structured_input_signature[1]["inputs"]
    for _ in range(_TRIAL_STEPS):
        numbers = rng.uniform(0.0, 2.0, spec.shape)  # of integers, 0 and 1
        yield numbers.astype(spec.dtype.as_numpy_dtype)


def _of_fixed_batch(signatures, batch_size):
    """Give `step` and `initial_state` as functions whose sizes are all known."""
    import tensorflow as tf

    step, initial_state = signatures["step"], signatures["initial_state"]
    _, specs = step.structured_input_signature
    fixed = {
        name: tf.TensorSpec((batch_size, *spec.shape[1:]), spec.dtype, name)
        for name, spec in specs.items()
    }
    return {
        "step": tf.function(lambda **request: step(**request)).get_concrete_function(
            **fixed
        ),
        "initial_state": tf.function(
            lambda: initial_state(batch_size=tf.constant(batch_size))
        ).get_concrete_function(),
    }
