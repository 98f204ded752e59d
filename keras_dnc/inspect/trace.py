"""Run a cell step by step, and keep all that happens in its memory."""

import types

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_dnc.core.state import MemoryCell


class Trace(types.SimpleNamespace):
    """Every named state and control of a cell, step by step.

    Attributes:
        inputs: `(batch, time, features)`, what the cell was given.

    Every other attribute is an array `(batch, time, ...)` named as in the cell's
    NamedTuples: for a `DNCCell` `output`, `memory`, `usage`, `read_weights`,
    `write_weights`, `free_gate`, ... At a masked step states stay as they were.
    """


def trace(model_or_cell, inputs):
    """Run a memory cell on sequences and keep every named state and control.

    Args:
        model_or_cell: A built cell of this package, or a functional or sequential model
            with exactly one recurrent layer around such a cell.
        inputs: Sequences `(batch, time, features)` for a cell; the model's own inputs
            for a model.

    Returns:
        `Trace`.

    Raises:
        ValueError: No such cell, one that has not been built, a layer that goes
            backwards, or sequences of the wrong rank or of length 0.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> trace(cell, np.zeros((2, 7, 5), "float32")).write_weights.shape
        (2, 7, 1, 16)
    """
    cell, sequences, mask = _what_the_cell_is_given(model_or_cell, inputs)
    if len(sequences.shape) != 3 or sequences.shape[1] == 0:
        raise ValueError(
            "Argument `inputs` must have shape (batch, time, features), time at least "
            f"1. Received: inputs of shape {tuple(sequences.shape)}"
        )
    state = cell.unflatten(cell.get_initial_state(batch_size=sequences.shape[0]))
    moments = []
    for time, step_inputs in enumerate(ops.unstack(sequences, axis=1)):
        before = state
        state, controls, _ = cell.step(step_inputs, state)
        if mask is not None:
            state = _keep_where_masked(cell, mask[:, time], state, before)
        controls = {k: v for k, v in controls._asdict().items() if v is not None}
        names = ("inputs", *cell.state_names, *controls)
        values = (step_inputs, *tree.flatten(state), *controls.values())
        moments.append([ops.convert_to_numpy(value) for value in values])
    stacked = [np.stack(values, axis=1) for values in zip(*moments, strict=True)]
    return Trace(**dict(zip(names, stacked, strict=True)))


def _keep_where_masked(cell, mask, state, before):
    """Give the new state where `mask`, `(batch,)`, is true, the old one elsewhere."""
    pairs = zip(cell.flatten(state), cell.flatten(before), strict=True)
    return cell.unflatten([ops.where(mask[:, None], new, old) for new, old in pairs])


def _what_the_cell_is_given(model_or_cell, inputs):
    """Find the memory cell, and the sequences and mask that its layer is given."""
    inputs = ops.convert_to_tensor(inputs)
    if isinstance(model_or_cell, MemoryCell):
        if not model_or_cell.built:
            raise ValueError(
                "Argument `model_or_cell` must be built: a new cell has no weights. "
                f"Received: {model_or_cell!r}"
            )
        return model_or_cell, ops.cast(inputs, model_or_cell.compute_dtype), None
    layer = _memory_layer(model_or_cell)
    tensors = tree.flatten(layer.input)
    given = keras.Model(model_or_cell.inputs, tensors)(inputs)
    sequences, *mask = tree.flatten(given)
    # A layer casts what it is given to its own precision before the cell sees it.
    sequences = ops.cast(sequences, layer.compute_dtype)
    sequences = ops.cast(sequences, layer.cell.compute_dtype)
    return layer.cell, sequences, mask[0] if mask else None


def _memory_layer(model):
    """Find the one recurrent layer around a memory cell."""
    layers = [
        layer
        for layer in getattr(model, "layers", [])
        if isinstance(getattr(layer, "cell", None), MemoryCell)
    ]
    if len(layers) != 1 or not getattr(model, "inputs", None):
        raise ValueError(
            "Argument `model_or_cell` must be a memory cell, or a functional or "
            "sequential model with exactly one recurrent layer around one. "
            f"Received: {model!r} with {len(layers)} such layers"
        )
    if layers[0].go_backwards:
        raise ValueError(
            "Argument `model_or_cell` must hold a layer that goes forward in time. "
            f"Received: layer {layers[0].name!r} with go_backwards=True"
        )
    return layers[0]
