"""Weights of google-deepmind/dnc, loaded into a `DNCCell`."""

import collections
import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_dnc.arguments import check_shape
from keras_dnc.cells.controllers import NormalizedLSTMCell
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.dnc.cell import DNCCell

_LSTM_KERNEL = ("lstm/w", "lstm/w_gates")  # name in a dict, name in a checkpoint
_LSTM_BIAS = ("lstm/b", "lstm/b_gates")
_FORGET_BIAS = 1.0  # deepmind/dnc adds it at run time; Keras keeps it in the bias
_RULE = "Argument `weights` must be a dict or the path of a TensorFlow checkpoint."
_PUBLISHED = {  # options with which a cell has the equations of deepmind/dnc
    "masked_content": False,
    "deallocate": False,
    "normalize": False,
    "temporal_links": True,
    "link_sharpness": False,
    "link_top_k": None,
    "strength": "softplus",
}


Arrays: TypeAlias = dict[str, np.ndarray]  # from the names of weights to their values


def load_deepmind_weights(cell: keras.Layer, weights: Any) -> None:
    """Load the weights of a model trained with google-deepmind/dnc into a `DNCCell`.

    Args:
        cell: A `DNCCell` whose controller is an LSTM with Keras's default activations.
            A cell that is not built yet is built for the input size that the weights
            imply.
        weights: Dict from the variable names of deepmind/dnc
            (`"memory_access/write_keys/w"`, `"lstm/w"`, `"output_linear/b"`, ...) to
            arrays, or the path of a TensorFlow checkpoint of deepmind/dnc, where the
            LSTM's variables are `lstm/w_gates` and `lstm/b_gates`. The path is the
            part before `.index`, or a folder whose latest checkpoint is read. Names
            may have a scope, such as `dnc/`; other variables are ignored.

    Raises:
        ValueError: If `cell` is not a `DNCCell`, or has an improvement or a controller
            that deepmind/dnc does not have; if `weights` is neither a dict nor a path;
            if a name is missing or ambiguous; if an array has the wrong shape, does
            not hold numbers, or holds NaN or infinity; or if the checkpoint is damaged.
            The weights of the cell are then unchanged.
        FileNotFoundError: If there is no checkpoint at the path, or its data files are
            missing. The weights of the cell are then unchanged.

    Example:
        ```python
        cell = keras_dnc.DNCCell(output_size=7, controller=64, memory_size=16,
                                 word_size=16, num_reads=4)
        keras_dnc.load_deepmind_weights(cell, "checkpoints/model.ckpt-100000")
        ```

    References:
        - https://github.com/google-deepmind/dnc
    """
    _check_cell(cell)
    source = _source_of(weights)
    kernel = source.read(*_LSTM_KERNEL)
    input_size = _input_size(cell, kernel, source)
    bias = source.read_shape((4 * cell.controller.units,), *_LSTM_BIAS)
    values = {
        **_lstm_values(cell.controller, kernel, bias),
        **_interface_values(cell, source),
        **_output_values(cell, source),
    }
    if not cell.built:
        cell.build((None, input_size))
    _assign(cell, values, input_size)


def _check_cell(cell: keras.Layer) -> None:
    """Raise a `ValueError` unless `cell` is a `DNCCell` as deepmind/dnc defines it."""
    if not isinstance(cell, DNCCell):
        raise ValueError(
            f"Argument `cell` must be a `DNCCell`. Received: cell={cell!r}"
        )
    options = cell.get_config()
    # A cell without links has no options of links.
    others = {
        name: options[name]
        for name, value in _PUBLISHED.items()
        if options.get(name, value) != value
    }
    if others:
        raise ValueError(
            "Argument `cell` must have the equations of deepmind/dnc. "
            f"Received: a cell with {others}"
        )
    _check_controller(cell.controller)


def _check_controller(controller: keras.Layer) -> None:
    """Raise a `ValueError` unless `controller` is the LSTM of deepmind/dnc."""
    is_lstm = (
        isinstance(controller, keras.layers.LSTMCell)
        and not isinstance(controller, NormalizedLSTMCell)
        and controller.use_bias
        and controller.activation is keras.activations.tanh
        and controller.recurrent_activation is keras.activations.sigmoid
    )
    if not is_lstm:
        raise ValueError(
            "Argument `cell` must have an `LSTMCell` with bias, tanh and sigmoid as "
            f"controller. Received: cell.controller={controller!r}"
        )


def _input_size(cell: DNCCell, kernel: np.ndarray, source: "_Source") -> int:
    """Return the features of the model's input, from the rows of the LSTM's kernel."""
    units = cell.controller.units
    known = cell.controller_input_size(0) + units
    if kernel.ndim != 2 or kernel.shape[0] <= known or kernel.shape[1] != 4 * units:
        raise source.refusal(
            _LSTM_KERNEL[0],
            "have shape (input_size + num_reads * word_size + units, 4 * units) = "
            f"(input_size + {known}, {4 * units})",
            f"an array of shape {kernel.shape}",
        )
    return kernel.shape[0] - known


def _lstm_values(
    controller: keras.layers.LSTMCell, kernel: np.ndarray, bias: np.ndarray
) -> Arrays:
    """Return the weights of the controller, gates in the order of Keras."""
    units = controller.units
    kernel = _reorder_gates(kernel)
    i, f, candidate, o = np.split(_reorder_gates(bias), 4)
    recurrent_rows = kernel.shape[0] - units
    return {
        "controller/kernel": kernel[:recurrent_rows],
        "controller/recurrent_kernel": kernel[recurrent_rows:],
        "controller/bias": np.concatenate([i, f + _FORGET_BIAS, candidate, o]),
    }


def _reorder_gates(columns: np.ndarray) -> np.ndarray:
    """Reorder gates from i, candidate, f, o (Sonnet) to i, f, candidate, o (Keras)."""
    i, candidate, f, o = np.split(columns, 4, axis=-1)
    return np.concatenate([i, f, candidate, o], axis=-1)


def _interface_values(cell: DNCCell, source: "_Source") -> Arrays:
    """Concatenate the linear maps of all controls into those of one dense layer."""
    units = cell_output_size(cell.controller)
    kernels, biases = [], []
    for name, columns in cell.access.interface.columns.items():
        size = columns.stop - columns.start
        key = f"memory_access/{name}"
        kernels.append(source.read_shape((units, size), f"{key}/w"))
        biases.append(source.read_shape((size,), f"{key}/b"))
    return {
        "interface/kernel": np.concatenate(kernels, axis=1),
        "interface/bias": np.concatenate(biases),
    }


def _output_values(cell: DNCCell, source: "_Source") -> Arrays:
    """Return the weights of the output layer."""
    rows = cell.controller_input_size(cell_output_size(cell.controller))
    shape = (rows, cell.output_size)
    return {
        "output/kernel": source.read_shape(shape, "output_linear/w"),
        "output/bias": source.read_shape(shape[1:], "output_linear/b"),
    }


def _assign(cell: DNCCell, values: Arrays, input_size: int) -> None:
    """Assign every value, after all shapes have been checked."""
    dense = cell.access.interface.dense
    rows = cell.controller_input_size(input_size)
    check_shape("cell.controller.kernel", cell.controller.kernel.shape, (rows, "units"))
    cell.controller.kernel.assign(values["controller/kernel"])
    cell.controller.recurrent_kernel.assign(values["controller/recurrent_kernel"])
    cell.controller.bias.assign(values["controller/bias"])
    dense.kernel.assign(values["interface/kernel"])
    dense.bias.assign(values["interface/bias"])
    cell.output_linear.kernel.assign(values["output/kernel"])
    cell.output_linear.bias.assign(values["output/bias"])


class _Source:
    """Arrays by their names in deepmind/dnc, with or without a scope before them.

    Attributes:
        place: Where the arrays come from, for the end of error messages.
    """

    place = ""

    def names(self) -> list[str]:
        """Return the names of all arrays."""
        raise NotImplementedError

    def value(self, name: str) -> np.ndarray:
        """Return the array of that full name."""
        raise NotImplementedError

    def read(self, *keys: str) -> np.ndarray:
        """Return the only array whose name is, or ends in, one of `keys`."""
        found = [
            name
            for name in self.names()
            if any(name == key or name.endswith(f"/{key}") for key in keys)
        ]
        if len(found) != 1:
            raise ValueError(
                f"Argument `weights` must hold exactly one array named {keys[0]!r}, "
                f"with or without a scope before it. Received: {found or 'none'} "
                f"among {sorted(self.names())}{self.place}"
            )
        value = self.value(found[0])
        self._check_numbers(keys[0], value)
        return value

    def read_shape(self, shape: tuple[int, ...], *keys: str) -> np.ndarray:
        """Return the array that has one of the names `keys`; it must have `shape`."""
        value = self.read(*keys)
        if value.shape != shape:
            rule, received = f"have shape {shape}", f"an array of shape {value.shape}"
            raise self.refusal(keys[0], rule, received)
        return value

    def refusal(self, key: str, rule: str, received: str) -> ValueError:
        """Return the error for the array named `key`, which must obey `rule`."""
        return ValueError(
            f"Argument `weights[{key!r}]` must {rule}. Received: {received}{self.place}"
        )

    def _check_numbers(self, key: str, value: np.ndarray) -> None:
        """Raise a `ValueError` unless an array holds numbers that float32 holds."""
        if not np.can_cast(value.dtype, "float64", casting="same_kind"):
            received = f"an array of dtype {value.dtype}"
            raise self.refusal(key, "be an array of real numbers", received)
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(value.astype("float32"))
        if np.any(wrong):
            received = f"{np.sum(wrong)} of {wrong.size} values NaN or infinite"
            raise self.refusal(key, "be finite in float32", received)


class _DictSource(_Source):
    """Arrays of a dict."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.weights = weights

    def names(self) -> list[str]:
        return [name for name in self.weights if isinstance(name, str)]

    def value(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self.weights[name])
        except (RuntimeError, TypeError, ValueError) as error:
            received = f"a value that NumPy cannot convert ({error})"
            raise self.refusal(name, "be an array", received) from error


class _CheckpointSource(_Source):
    """Arrays of a TensorFlow checkpoint."""

    def __init__(self, path: str) -> None:
        self.prefix = _prefix_of(path)
        self.place = f" in the checkpoint {self.prefix!r}"
        self.reader = _open_checkpoint(self.prefix)

    def names(self) -> list[str]:
        return list(self.reader.get_variable_to_shape_map())

    def value(self, name: str) -> np.ndarray:
        import tensorflow as tf

        try:
            return np.asarray(self.reader.get_tensor(name))
        # The class of the reader's error depends on what is damaged.
        except (tf.errors.OpError, IndexError, RuntimeError) as error:
            raise _unreadable(self.prefix, error) from error


def _source_of(weights: Any) -> _Source:
    """Return the source of the arrays of a dict or checkpoint."""
    if isinstance(weights, Mapping):
        return _DictSource(weights)
    if isinstance(weights, str | os.PathLike):
        return _CheckpointSource(str(weights))
    raise ValueError(f"{_RULE} Received: weights={weights!r}")


def _prefix_of(path: str) -> str:
    """Return the prefix of a checkpoint's files: `path`, or the latest in a folder."""
    import tensorflow as tf

    if not tf.io.gfile.isdir(path):
        return path
    try:
        latest = tf.train.latest_checkpoint(path)
    except ValueError:  # the file `checkpoint` is empty or not text
        latest = None
    if latest is None:
        raise FileNotFoundError(
            f"{_RULE} Received: weights={path!r}, a folder whose file `checkpoint` is "
            "missing, damaged, or names no checkpoint"
        )
    return latest


def _open_checkpoint(prefix: str) -> Any:
    """Open a TensorFlow checkpoint, or raise an error of Python's own classes."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
    # The class of the reader's error depends on what is damaged.
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
        raise _unreadable(prefix, error) from error
    if not reader.get_variable_to_shape_map():
        raise ValueError(
            f"{_RULE} The path is the part of the files' names before `.index`. "
            f"Received: weights={prefix!r}, which holds no variables"
        )
    return reader


def _unreadable(prefix: str, error: Exception) -> OSError | ValueError:
    """Return the error for a checkpoint that is missing, incomplete or damaged."""
    import tensorflow as tf

    received = f"{_RULE} Received: weights={prefix!r}"
    if not tf.io.gfile.exists(f"{prefix}.index"):
        return FileNotFoundError(f"{received}, where none is found ({error})")
    if not _has_all_data(prefix):
        return FileNotFoundError(f"{received}, whose data files are missing ({error})")
    return ValueError(f"{received}, which is damaged ({error})")


def _has_all_data(prefix: str) -> bool:
    """Return whether all files `prefix.data-00000-of-00002`, ... are there."""
    import tensorflow as tf

    folder, name = os.path.split(prefix)
    counts = collections.Counter(
        file.rpartition("-of-")[2]
        for file in tf.io.gfile.listdir(folder or ".")
        if file.startswith(f"{name}.data-")
    )
    return any(f"{found:05}" == expected for expected, found in counts.items())
