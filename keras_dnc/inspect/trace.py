"""Run a model step by step and record the states and controls of one memory cell."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_dnc.cells.layers import layers_of
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.typing import Fields, Tensor, Tensors

if TYPE_CHECKING:
    import pandas as pd

_Arrays: TypeAlias = dict[str, np.ndarray]
_Calls: TypeAlias = list[tuple[dict[str, Any], Any]]  # (arguments by name, result)


class Trace(types.SimpleNamespace):
    """Every named state and control of a memory cell, step by step.

    Every attribute is a `numpy.ndarray` of shape `(batch, time, ...)`. Apart from
    `inputs` and `mask`, attributes have the names of the fields of the cell's state and
    controls: a `DNCCell` has `output`, `memory`, `usage`, `read_weights`,
    `write_weights`, `free_gate` and others. A sparse cell also has `write_slots` and
    `write_weights`. At a masked step the states keep their previous values, and the
    controls are recorded but have no effect.

    Attributes:
        inputs: `(batch, time, features)`, inputs of the cell.
        mask: `(batch, time)`, booleans, false at steps that the cell skips.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> recorded.usage.shape, recorded.mask.shape
        ((2, 7, 16), (2, 7))
    """

    def to_npz(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write every array to a file that `numpy.load` reads.

        Args:
            path: File name, which NumPy completes with `.npz`, or a binary file open
                for writing.
        """
        np.savez_compressed(path, **vars(self))

    def to_dataframe(
        self, sequence: int = 0, names: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return one sequence as a table with a row per step and a column per number.

        This method needs the `pandas` package: `pip install keras_dnc[plot]`.

        Args:
            sequence: Index of the sequence in the batch. Defaults to 0.
            names: Names of the arrays to include, such as `["usage", "free_gate"]`, or
                `None` for all arrays. A link matrix has memory_size^2 columns. Defaults
                to `None`.

        Returns:
            `pandas.DataFrame` with an index named `time`, and columns such as
            `output[2]` or `read_weights[0, 5]`.

        Raises:
            ValueError: If the batch has no sequence of this index, or the trace has no
                array of one of the names.
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
        """Raise an error if the trace lacks a sequence or an array.

        Args:
            sequence: Index of the sequence in the batch.
            names: Names of arrays. Defaults to no names.

        Raises:
            ValueError: If the batch has no sequence of this index, or the trace has no
                array of one of the names.
        """
        count = len(self.inputs)
        if sequence not in range(count):
            raise ValueError(
                f"Argument `sequence` must be an integer from 0 to {count - 1}. "
                f"Received: sequence={sequence!r}"
            )
        if missing := sorted(set(names) - set(vars(self))):
            raise ValueError(
                f"Argument `trace` must have the arrays {missing}, which this cell "
                f"does not have. Received: a trace with {sorted(vars(self))}"
            )


def trace(model_or_cell: keras.Layer, inputs: Any, layer: str | None = None) -> Trace:
    """Run a memory cell on sequences and record every named state and control.

    A model runs once, and the states of its stateful layers are restored afterwards.
    The trace holds every step of every sequence, so trace few sequences and few steps
    of a cell with a large memory.

    Args:
        model_or_cell: A built memory cell of this package, or a Keras model with a
            recurrent layer around one, at any depth of nested layers.
        inputs: Sequences `(batch, time, features)` with at least one step for a cell;
            the inputs of the model for a model.
        layer: Name of the recurrent layer to trace, needed if the model has several.
            `"rnn/1"` is the second of the stacked cells of the layer `"rnn"`. `None`
            for the only one. Defaults to `None`.

    Returns:
        `Trace`. Arrays follow the time of the sequence also if the layer goes
        backwards: the first step of such a layer comes last.

    Raises:
        ValueError: If there is no memory cell, the cell is not built, `layer` does not
            name one of several, the layer runs several times in the model, or the
            sequences have the wrong rank or length 0.

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
    sequences, states, mask = _arguments_of_the_layer(model_or_cell, recurrent, inputs)
    flip = functools.partial(np.flip, axis=1) if recurrent.go_backwards else np.asarray
    found = _run(recurrent.cell, cell, flip(sequences), states, flip(mask))
    return Trace(**{name: flip(steps) for name, steps in found.items()})


def _trace_cell(cell: MemoryCell, inputs: Tensor) -> Trace:
    """Trace a cell that is in no layer, from its initial state and without a mask."""
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


def _run(
    driven: keras.Layer,
    cell: MemoryCell,
    sequences: np.ndarray,
    states: Tensors,
    mask: np.ndarray,
) -> _Arrays:
    """Step through sequences and record the states and controls of one cell.

    Args:
        driven: The cell that the layer runs: `cell`, or a stack of cells with it.
        cell: The `MemoryCell` to record.
        sequences: `(batch, time, features)`.
        states: Flat list of the first states of `driven`.
        mask: `(batch, time)`, booleans.

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


def _moment(cell: MemoryCell, arguments: Fields, record: Any, real: Tensor) -> _Arrays:
    """Return inputs, states and controls of a step; masked ones keep their states."""
    states = dict(zip(cell.state_names, tree.flatten(record.state), strict=True))
    earlier = dict(zip(cell.state_names, tree.flatten(arguments["state"]), strict=True))
    kept = _kept(states.values(), earlier.values(), real)
    controls = record.controls._asdict()
    named = {
        "inputs": arguments["inputs"],
        "mask": real,
        **dict(zip(states, kept, strict=True)),
        **{name: value for name, value in controls.items() if value is not None},
        **_where_real(record.found, real),
    }
    return {name: ops.convert_to_numpy(value) for name, value in named.items()}


def _where_real(named: Fields, real: Tensor) -> Fields:
    """Return named tensors with zeros at masked batch elements."""
    zeros = [ops.zeros_like(tensor) for tensor in named.values()]
    return dict(zip(named, _kept(named.values(), zeros, real), strict=True))


def _kept(after: Iterable[Tensor], before: Iterable[Tensor], real: Tensor) -> Tensors:
    """Return new tensors where `real`, `(batch,)`, is true, and old ones elsewhere."""
    return [
        ops.where(ops.reshape(real, (-1, *[1] * (len(new.shape) - 1))), new, old)
        for new, old in zip(after, before, strict=True)
    ]


def _arguments_of_the_layer(
    model: keras.Layer, recurrent: keras.layers.RNN, inputs: Any
) -> tuple[np.ndarray, Tensors, np.ndarray]:
    """Run the model once; return the layer's sequences, initial states and mask."""
    states = [np.array(s) for s in map(ops.convert_to_numpy, _states(recurrent))]
    with _restored_states(model), _watched(recurrent, "call") as calls:
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


def _states(layer: keras.Layer) -> list[keras.Variable]:
    """Return the variables in which a stateful layer keeps its states, if any yet."""
    stateful = getattr(layer, "stateful", False)
    return tree.flatten(getattr(layer, "states", None) or []) if stateful else []


@contextlib.contextmanager
def _restored_states(model: keras.Layer) -> Iterator[None]:
    """Restore the states of stateful layers; reset those created in the meantime."""
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
def _watched(layer: keras.Layer, method: str) -> Iterator[_Calls]:
    """Record `(arguments, result)` of every call of one method of one layer."""
    plain: Callable[..., Any] = getattr(layer, method)
    calls: _Calls = []
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def watching(*args: Any, **kwargs: Any) -> Any:
        result = plain(*args, **kwargs)
        calls.append((signature.bind(*args, **kwargs).arguments, result))
        return result

    # Keras's own `__setattr__` would track the function as a part of the layer.
    vars(layer)[method] = watching
    try:
        yield calls
    finally:
        del vars(layer)[method]


def _choose(
    model: keras.Layer, name: str | None
) -> tuple[keras.layers.RNN, MemoryCell]:
    """Return the recurrent layer of that name and the memory cell in it."""
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


def _memory_cells(
    model: keras.Layer,
) -> Iterator[tuple[str, tuple[keras.layers.RNN, MemoryCell]]]:
    """Yield `(name, (recurrent layer, memory cell in it))`, each name once."""
    seen: set[str] = set()
    is_layer = isinstance(model, keras.layers.Layer)
    for layer in layers_of(model) if is_layer else []:
        if not isinstance(layer, keras.layers.RNN):  # a model may keep its `cell`, too
            continue
        cells = {layer.name: layer.cell}
        for number, one in enumerate(getattr(layer.cell, "cells", [])):
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
