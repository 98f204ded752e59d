"""Run a model step by step, and keep all that happens in the memory of one cell."""

import contextlib
import functools
import inspect
import types
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_dnc.cells.layers import layers_of
from keras_dnc.cells.memory_cell import MemoryCell


class Trace(types.SimpleNamespace):
    """Every named state and control of a cell, step by step.

    Attributes:
        inputs: `(batch, time, features)`, what the cell was given.
        mask: `(batch, time)`, false at steps that the cell skips.

    Every other attribute is an array `(batch, time, ...)` named as in the cell's
    NamedTuples: for a `DNCCell` `output`, `memory`, `usage`, `read_weights`,
    `write_weights`, `free_gate`, ... Of a sparse cell, `write_slots` and
    `write_weights` too. At a masked step states stay as they were, and controls are
    what the controller asked for in vain.
    """

    def to_npz(self, path: Any) -> None:
        """Write every array to a file that `numpy.load` reads.

        Args:
            path: File name, by custom one that ends in `.npz`, or an open file.
        """
        np.savez_compressed(path, **vars(self))

    def to_dataframe(
        self, sequence: int = 0, names: Iterable[str] | None = None
    ) -> Any:
        """Give one sequence as a table: a row a step, a column a number.

        The `pandas` package is needed: `pip install keras_dnc[plot]`.

        Args:
            sequence: Number of the sequence in the batch.
            names: Names of arrays, such as `["usage", "free_gate"]`; `None` for all. A
                link matrix has memory_size^2 columns.

        Returns:
            `pandas.DataFrame` with an index named `time`, and columns such as
            `output[2]` or `read_weights[0, 5]`.

        Raises:
            ValueError: There is no such sequence, or no such array.
        """
        import pandas as pd

        names = list(vars(self) if names is None else names)
        self.check(sequence, names)
        columns = {}
        for name in names:
            steps = getattr(self, name)[sequence]
            for place in np.ndindex(steps.shape[1:]):
                where = f"[{', '.join(map(str, place))}]" if place else ""
                columns[name + where] = steps[(slice(None), *place)]
        return pd.DataFrame(columns).rename_axis("time")

    def check(self, sequence: int, names: Iterable[str] = ()) -> None:
        """Raise a `ValueError` where there is no such sequence, or no such array."""
        count = len(self.inputs)
        if sequence not in range(count):
            raise ValueError(
                f"Argument `sequence` must be an integer from 0 to {count - 1}. "
                f"Received: sequence={sequence!r}"
            )
        if missing := sorted(set(names) - set(vars(self))):
            raise ValueError(
                f"This needs {missing}, and a trace of this cell has no such arrays. "
                f"Received: a trace with the arrays {sorted(vars(self))}"
            )


def trace(model_or_cell: keras.Layer, inputs: Any, layer: str | None = None) -> Trace:
    """Run a memory cell on sequences and keep every named state and control.

    A model runs once as it is, and is left as it was: stateful layers' states, too. The
    trace holds every step of every sequence: of a large memory, give it few of both.

    Args:
        model_or_cell: A built cell of this package, or any Keras model with a recurrent
            layer around one, also within other layers.
        inputs: Sequences `(batch, time, features)` for a cell; the model's own inputs
            for a model.
        layer: Which recurrent layer, by its name, where a model has several; of a
            layer with stacked cells, such as `"rnn/1"` for the second. `None` for the
            only one.

    Returns:
        `Trace`. Of a layer that goes backwards, time is that of the sequence: the
        layer's first step comes last.

    Raises:
        ValueError: No such cell, one that has not been built, several that `layer`
            does not choose between, one that runs several times in the model, or
            sequences of the wrong rank or of length 0.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> trace(cell, np.zeros((2, 7, 5), "float32")).write_weights.shape
        (2, 7, 1, 16)
    """
    if isinstance(model_or_cell, MemoryCell):
        return _trace_cell(model_or_cell, inputs)
    recurrent, cell = _choose(model_or_cell, layer)
    sequences, states, mask = _what_the_layer_is_given(model_or_cell, recurrent, inputs)
    flip = functools.partial(np.flip, axis=1) if recurrent.go_backwards else np.asarray
    found = _run(recurrent.cell, cell, flip(sequences), states, flip(mask))
    return Trace(**{name: flip(steps) for name, steps in found.items()})


def _trace_cell(cell, inputs):
    if not cell.built:
        raise ValueError(
            "Argument `model_or_cell` must be built: a new cell has no weights. "
            f"Received: {cell!r}"
        )
    sequences = ops.convert_to_numpy(inputs)
    if sequences.ndim != 3 or sequences.shape[1] == 0:
        raise ValueError(
            "Argument `inputs` must have shape (batch, time, features), time at least "
            f"1. Received: inputs of shape {sequences.shape}"
        )
    states = cell.get_initial_state(batch_size=len(sequences))
    mask = np.ones(sequences.shape[:2], bool)
    return Trace(**_run(cell, cell, sequences, states, mask))


def _run(driven, cell, sequences, states, mask):
    """Step through sequences, and note what happens in one cell.

    Args:
        driven: The cell that a layer drives: `cell`, or a stack that holds it.
        cell: The `MemoryCell` to look into.
        sequences: `(batch, time, features)`.
        states: Flat list of `driven`'s first states.
        mask: `(batch, time)`.

    Returns:
        Dict from names to arrays `(batch, time, ...)`.
    """
    moments = []
    for now, real in zip(np.moveaxis(sequences, 1, 0), mask.T, strict=True):
        now = ops.cast(ops.convert_to_tensor(now), driven.compute_dtype)
        with _watched(cell, "step") as calls:
            _, after = driven(now, tree.pack_sequence_as(driven.state_size, states))
        states = _kept(tree.flatten(after), states, real)
        arguments, record = calls[0]
        moments.append(_moment(cell, arguments, record, real))
    return {
        name: np.stack([moment[name] for moment in moments], axis=1)
        for name in moments[0]
    }


def _moment(cell, arguments, record, real):
    """Name all that one step had and gave; masked samples keep their states."""
    states = dict(zip(cell.state_names, tree.flatten(record.state), strict=True))
    earlier = dict(zip(cell.state_names, tree.flatten(arguments["state"]), strict=True))
    kept = _kept(states.values(), earlier.values(), real)
    controls = record.controls._asdict()
    named = {
        "inputs": arguments["inputs"],
        "mask": real,
        **dict(zip(states, kept, strict=True)),
        **{name: value for name, value in controls.items() if value is not None},
        **_where_real(cell.observed(arguments["state"], record), real),
    }
    return {name: ops.convert_to_numpy(value) for name, value in named.items()}


def _where_real(named, real):
    """Give named tensors that are zero at masked samples."""
    zeros = [ops.zeros_like(tensor) for tensor in named.values()]
    return dict(zip(named, _kept(named.values(), zeros, real), strict=True))


def _kept(after, before, real):
    """Give new tensors where `real`, `(batch,)`, is true, the old ones elsewhere."""
    return [
        ops.where(ops.reshape(real, (-1, *[1] * (len(new.shape) - 1))), new, old)
        for new, old in zip(after, before, strict=True)
    ]


def _what_the_layer_is_given(model, recurrent, inputs):
    """Run the model once; give the layer's sequences, states and mask."""
    states = [np.array(s) for s in map(ops.convert_to_numpy, _states(recurrent))]
    with _left_as_it_was(model), _watched(recurrent, "call") as calls:
        model(tree.map_structure(ops.convert_to_tensor, inputs))
    if len(calls) != 1:
        raise ValueError(
            "Argument `model_or_cell` must run each memory layer once. "
            f"Received: a model that runs {recurrent.name!r} {len(calls)} times"
        )
    given = calls[0][0]
    sequences = ops.convert_to_numpy(given["sequences"])
    if given.get("initial_state") is not None:
        states = tree.flatten(given["initial_state"])
    elif not states:
        states = tree.flatten(recurrent.get_initial_state(batch_size=len(sequences)))
    mask = given.get("mask")
    mask = tree.flatten(mask)[0] if mask is not None else np.ones(sequences.shape[:2])
    return sequences, states, ops.convert_to_numpy(mask).astype(bool)


def _states(layer):
    """Give the variables in which a stateful layer keeps its states, so far."""
    stateful = getattr(layer, "stateful", False)
    return tree.flatten(getattr(layer, "states", None) or []) if stateful else []


@contextlib.contextmanager
def _left_as_it_was(model):
    """Give stateful layers their states back; a new one gets those of a start."""
    stateful = [
        layer for layer in layers_of(model) if getattr(layer, "stateful", False)
    ]
    kept = [
        [np.array(ops.convert_to_numpy(state)) for state in _states(layer)]
        for layer in stateful
    ]
    try:
        yield
    finally:
        for layer, values in zip(stateful, kept, strict=True):
            if not values and _states(layer):
                layer.reset_state()
            for state, value in zip(_states(layer), values, strict=False):
                state.assign(value)


@contextlib.contextmanager
def _watched(layer, method):
    """Note `(arguments, result)` of every call of one method of one layer."""
    plain, calls = getattr(layer, method), []
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def watching(*args, **kwargs):
        result = plain(*args, **kwargs)
        calls.append((signature.bind(*args, **kwargs).arguments, result))
        return result

    # Past Keras's own `__setattr__`, which would track the function as a part.
    vars(layer)[method] = watching
    try:
        yield calls
    finally:
        del vars(layer)[method]


def _choose(model, name):
    """Find a model's recurrent layer, and the memory cell in it."""
    found = dict(_memory_cells(model))
    if not found:
        raise ValueError(
            "Argument `model_or_cell` must be a memory cell, or a built model with a "
            f"recurrent layer around one. Received: {model!r}"
        )
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        raise ValueError(
            f"Argument `layer` must name one of {sorted(found)}. "
            f"Received: layer={name!r}"
        )
    return found[name]


def _memory_cells(model):
    """Yield `(name, (recurrent layer, memory cell in it))`, each name once."""
    seen = set()
    is_layer = isinstance(model, keras.layers.Layer)
    for layer in layers_of(model) if is_layer else []:
        cell = getattr(layer, "cell", None)
        cells = {layer.name: cell}
        for number, one in enumerate(getattr(cell, "cells", [])):
            cells[f"{layer.name}/{number}"] = one
        for name, one in cells.items():
            if not isinstance(one, MemoryCell):
                continue
            if name in seen:
                raise ValueError(
                    "Argument `model_or_cell` must have memory layers of different "
                    f"names. Received: several layers {name!r}"
                )
            seen.add(name)
            yield name, (layer, one)
