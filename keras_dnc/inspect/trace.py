"""Run a cell step by step, and keep all that happens in its memory."""

import types

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_dnc.core.state import MemoryCell


class Trace(types.SimpleNamespace):
    """Every named state and control of a cell, step by step.

    Each attribute is an array `(batch, time, ...)` named as in the cell's NamedTuples:
    for a `DNCCell` `trace.inputs`, `trace.output`, `trace.memory`, `trace.usage`,
    `trace.read_weights`, `trace.write_weights`, `trace.free_gate`, ...
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
        ValueError: No such cell, or sequences of the wrong rank or of length 0.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> trace(cell, np.zeros((2, 7, 5), "float32")).write_weights.shape
        (2, 7, 1, 16)
    """
    cell, sequences = _cell_and_its_inputs(model_or_cell, inputs)
    if len(sequences.shape) != 3 or sequences.shape[1] == 0:
        raise ValueError(
            "Argument `inputs` must have shape (batch, time, features), time at least "
            f"1. Received: inputs of shape {tuple(sequences.shape)}"
        )
    state = cell.unflatten(cell.get_initial_state(batch_size=sequences.shape[0]))
    moments = []
    for step_inputs in ops.unstack(sequences, axis=1):
        state, controls = cell.step(step_inputs, state)
        names = ("inputs", *cell.state_names, *controls._fields)
        values = (step_inputs, *tree.flatten(state), *controls)
        moments.append([ops.convert_to_numpy(value) for value in values])
    stacked = [np.stack(values, axis=1) for values in zip(*moments, strict=True)]
    return Trace(**dict(zip(names, stacked, strict=True)))


def _cell_and_its_inputs(model_or_cell, inputs):
    """Find the memory cell, and compute what its layer is given."""
    inputs = ops.convert_to_tensor(inputs)
    if isinstance(model_or_cell, MemoryCell):
        return model_or_cell, ops.cast(inputs, model_or_cell.compute_dtype)
    layers = [
        layer
        for layer in getattr(model_or_cell, "layers", [])
        if isinstance(getattr(layer, "cell", None), MemoryCell)
    ]
    if len(layers) != 1:
        raise ValueError(
            "Argument `model_or_cell` must be a memory cell, or a model with exactly "
            "one recurrent layer around one. "
            f"Received: {model_or_cell!r} with {len(layers)} such layers"
        )
    before = keras.Model(model_or_cell.inputs, layers[0].input)
    return layers[0].cell, ops.cast(before(inputs), layers[0].cell.compute_dtype)
