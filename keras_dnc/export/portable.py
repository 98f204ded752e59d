"""Conversion of exported models to ONNX and LiteRT files."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.export import guide
from keras_dnc.files import whole_file

_Functions: TypeAlias = dict[str, Any]  # from names to concrete functions of TensorFlow

_TRIAL_STEPS = 8  # steps to test a LiteRT file: a few slots are written and read
_TOLERANCE = 1e-4  # absolute difference allowed for values of about 1
_OPSET = 17  # version for which the outputs of every cell are tested


def export_onnx(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    signature: str = "serving_default",
) -> pathlib.Path:
    """Write one signature of an export as an ONNX file.

    Inputs and outputs keep their names, except that the new states of `step` are named
    `new_memory` and so on, because an ONNX file cannot have an output with the name of
    an input. The file is written whole or not at all. This function needs
    `pip install keras_dnc[onnx]`.

    Args:
        folder: Folder of the SavedModel, the path that `export_for_serving` returns.
        path: Name of the file to write, such as `model.onnx`.
        signature: Name of the signature to convert. Defaults to `"serving_default"`.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ValueError: If the export is damaged or has no signature of this name, or `path`
            is a folder.
        FileNotFoundError: If `folder` has no SavedModel, or the folder of `path` does
            not exist.
        ImportError: If `tf2onnx` is not installed.
        RuntimeError: If `tf2onnx` fails; the message is its error output.

    Example:
        ```python
        export_onnx("serving/delay/1", "delay.onnx")
        session = onnxruntime.InferenceSession("delay.onnx")
        (outputs,) = session.run(["outputs"], {"inputs": sequences})
        ```
    """
    folder, path = pathlib.Path(folder), pathlib.Path(path)
    check_choice("signature", signature, list(_signatures(folder)))
    _check_path(path)
    if importlib.util.find_spec("tf2onnx") is None:
        raise ImportError("`export_onnx` needs tf2onnx: `pip install keras_dnc[onnx]`.")
    loaded = _loaded(folder)
    with tempfile.TemporaryDirectory() as renamed, whole_file(path) as partial:
        _save(loaded, {signature: _renamed(loaded.signatures[signature])}, renamed)
        done = subprocess.run(
            # In a process of its own, because it disables eager execution.
            [sys.executable, "-m", "tf2onnx.convert", "--saved-model", renamed]
            + ["--signature_def", signature, "--tag", "serve"]
            + ["--opset", str(_OPSET), "--output", str(partial)],
            capture_output=True,
            text=True,
        )
        if done.returncode or not partial.is_file():
            raise RuntimeError(f"tf2onnx could not convert {folder}:\n{done.stderr}")
    return path


def _signatures(folder: pathlib.Path) -> guide.Signatures:
    """Return the signatures of an export, or raise an error that names its folder."""
    from google.protobuf.message import DecodeError

    if not (folder / "saved_model.pb").is_file():
        raise FileNotFoundError(
            "Argument `folder` must be the folder of a SavedModel, which is the path "
            f"that `export_for_serving` returns. Received: folder={str(folder)!r}, "
            "without a file saved_model.pb"
        )
    try:
        return guide.signatures(folder)
    except (DecodeError, ValueError) as error:  # `ValueError` for no graph
        raise _damaged(folder, error) from error


def _loaded(folder: pathlib.Path) -> Any:
    """Load a SavedModel, or raise a `ValueError` if its files are not whole."""
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    # The class of TensorFlow's error depends on what is damaged.
    except (tf.errors.OpError, IndexError, OSError, RuntimeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: pathlib.Path, error: Exception) -> ValueError:
    """Return the error for a SavedModel whose files are not as they were written."""
    return ValueError(
        "Argument `folder` must be the folder of a whole SavedModel. "
        f"Received: folder={str(folder)!r}, which is damaged or incomplete ({error})"
    )


def _check_path(path: pathlib.Path) -> None:
    """Raise an error unless a file can be at `path`, before minutes of conversion."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            "Argument `path` must be in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    if path.is_dir():
        raise ValueError(
            "Argument `path` must be the name of a file. "
            f"Received: path={str(path)!r}, a folder"
        )


def _renamed(signature: Any) -> Any:
    """Return a signature with new names for outputs that have the name of an input."""
    import tensorflow as tf

    _, specs = signature.structured_input_signature

    def run(**request: Any) -> dict[str, Any]:
        answer = signature(**request)
        return {f"new_{n}" if n in request else n: t for n, t in answer.items()}

    return tf.function(run).get_concrete_function(**specs)


def _save(loaded: Any, functions: _Functions, folder: str) -> None:
    """Save functions of a SavedModel as another SavedModel."""
    import tensorflow as tf

    module = tf.Module()
    module.loaded = loaded  # keeps its weights
    no_training = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, functions, no_training)


def export_litert(
    folder: str | os.PathLike[str], path: str | os.PathLike[str], batch_size: int = 1
) -> pathlib.Path:
    """Write `step` and `initial_state` of an export as a LiteRT file for small devices.

    The batch size is fixed, because dynamic sizes would need the TensorFlow operations
    ("Flex") on the device. Sequences may have any length, since the model runs step by
    step. The signature `initial_state` of the file has no inputs. The inputs of the
    model must be numbers. The file is tested for a few steps before it is written,
    whole or not at all.

    Args:
        folder: Folder of the SavedModel, the path that `export_for_serving` returns.
        path: Name of the file to write, such as `model.tflite`.
        batch_size: Number of sequences that run in parallel. Defaults to 1.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ValueError: If the export is damaged or has no signatures `step` and
            `initial_state`, its model takes strings, `path` is a folder, or
            `batch_size` is not a positive integer.
        FileNotFoundError: If `folder` has no SavedModel, or the folder of `path` does
            not exist.
        RuntimeError: If LiteRT cannot convert or run the model, or its outputs differ
            from those of TensorFlow, as for sparse memories.

    Example:
        ```python
        export_litert("serving/delay/1", "delay.tflite")
        interpreter = tf.lite.Interpreter("delay.tflite")
        state = interpreter.get_signature_runner("initial_state")()
        answer = interpreter.get_signature_runner("step")(inputs=inputs, **state)
        ```
    """
    folder, path = pathlib.Path(folder), pathlib.Path(path)
    batch_size = positive_integer("batch_size", batch_size)
    signatures = _signatures(folder)
    if missing := {"step", "initial_state"} - set(signatures):
        raise ValueError(
            "Argument `folder` must be an export with the signatures `step` and "
            f"`initial_state`. Received: folder={str(folder)!r}, which lacks "
            f"{sorted(missing)}"
        )
    _check_path(path)
    dtype = signatures["step"]["inputs"]["inputs"]["dtype"]
    if dtype == "string":
        raise ValueError(
            "Argument `folder` must be the export of a model that takes numbers. "
            f"Received: one whose inputs are {dtype}"
        )
    loaded = _loaded(folder)
    functions = _of_fixed_batch(loaded.signatures, batch_size)
    content = _converted(loaded, functions)
    _check_numbers(content, functions)
    with whole_file(path) as partial:
        partial.write_bytes(content)
    return path


def _converted(loaded: Any, functions: _Functions) -> bytes:
    """Convert functions of a SavedModel to the content of a LiteRT file."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as fixed:
        _save(loaded, functions, fixed)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            fixed, signature_keys=list(functions)
        )
        try:
            return converter.convert()
        except Exception as error:  # the converter's own class is not public
            raise RuntimeError(f"LiteRT cannot run this model: {error}") from error


def _check_numbers(content: bytes, functions: _Functions) -> None:
    """Refuse a file whose outputs in LiteRT differ from those of TensorFlow."""
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


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> np.floating:
    """Return the largest absolute difference of tensors by name, NaN if any is NaN."""
    # Python's own `max` would ignore NaN.
    return np.max([np.max(np.abs(expected[n] - found[n])) for n in expected])


def _trial(step: Any) -> Iterator[np.ndarray]:
    """Yield random inputs for a few steps of a function of fixed sizes."""
    rng = np.random.default_rng(0)
    spec = step.structured_input_signature[1]["inputs"]
    for _ in range(_TRIAL_STEPS):
        numbers = rng.uniform(0.0, 2.0, spec.shape)  # of integers, 0 and 1
        yield numbers.astype(spec.dtype.as_numpy_dtype)


def _of_fixed_batch(signatures: Mapping[str, Any], batch_size: int) -> _Functions:
    """Return `step` and `initial_state` as functions of static shapes."""
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
