"""RNN cells as pure functions of flat lists, as `recompute` takes a step.

Back-propagation runs a step again when Keras has long left the layer's call, so that
all that the step reads from around it has to be handed in: weights and other variables,
dropout masks, and whether it trains.
"""

import contextlib
import inspect

import keras
from keras import ops
from keras import tree

from keras_dnc.backend.keras_internals import AutocastScope
from keras_dnc.bptt import in_place
from keras_dnc.bptt import recompute
from keras_dnc.bptt.recompute import Given
from keras_dnc.bptt.recompute import Step
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.dropout import get_dropout_masks
from keras_dnc.cells.dropout import set_dropout_masks
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.cells.memory_cell import StepRecord
from keras_dnc.ops.rows import where_active


def recurrence_of(cell, states, training):
    """Give the recurrence of a Keras RNN cell.

    Args:
        cell: A built cell.
        states: Its first states, as `keras.layers.RNN` carries them.
        training: Whether dropout is on.
    """
    kind = _MemoryRecurrence if isinstance(cell, MemoryCell) else _Recurrence
    if isinstance(cell, MemoryCell) and cell.edited_states is not None:
        kind = _InPlaceRecurrence
    return kind(cell, states, training)


class _Recurrence:
    """Any Keras RNN cell. Its state here is the output before, then all its states."""

    def __init__(self, cell, states, training):
        self.cell = cell
        self.states = states
        self.masks = get_dropout_masks(cell)
        # Keras, too, calls a cell that is written without `training` without it.
        takes_training = "training" in inspect.signature(cell.call).parameters
        self.flags = {"training": training} if takes_training else {}

    def run(self, given, batch_size, chunks, save):
        """Run the cell over a sequence; give what `recompute.run` gives."""
        state = self.first_state(batch_size)
        return recompute.run(self.step, given, state, chunks, save)

    @property
    def step(self):
        """The cell's `Step`."""
        return Step(self._advance, self._replay, self._is_large(), self._note_shapes())

    def given(self, inputs, mask):
        """Collect what a sequence of steps is given, as `Given`."""
        masks = [mask for mask in tree.flatten(self.masks) if mask is not None]
        with AutocastScope(None):
            weights = [variable.value for variable in self.cell.trainable_variables]
            others = [variable.value for variable in self.cell.non_trainable_variables]
        return Given(
            weights=weights,
            inputs=inputs,
            constants=[*others, *masks],
            mask=[] if mask is None else [ops.cast(mask, "bool")],
        )

    def first_state(self, batch_size):
        """List the tensors of the first state, the output before it first."""
        stacked = isinstance(self.cell, keras.layers.StackedRNNCells)
        output = tree.flatten(self.states[-1] if stacked else self.states)[0]
        size = cell_output_size(self.cell)
        if output.shape[-1] != size:
            output = ops.zeros((batch_size, size), output.dtype)
        return [output, *tree.flatten(self.states)]

    def at_the_border(self, state):
        """Give the states as `keras.layers.RNN` carries them."""
        return tree.pack_sequence_as(self.states, state[1:])

    def _note_shapes(self):
        return []

    def _is_large(self):
        return [True] * (1 + len(tree.flatten(self.states)))

    def _advance(self, given, now, state, recorded=None):
        inputs, mask = now
        with self._surroundings(given.weights, given.constants):
            new, notes = self._call(inputs, state, recorded)
        return _where(mask, new, state), notes

    def _replay(self, given, now, state, recorded):
        return self._advance(given, now, state)[0]

    def _call(self, inputs, state, recorded):
        states = tree.pack_sequence_as(self.states, state[1:])
        output, states = self.cell(inputs, states, **self.flags)
        return [output, *tree.flatten(states)], []

    @contextlib.contextmanager
    def _surroundings(self, weights, constants):
        """Hand the cell its variables and dropout masks."""
        others = self.cell.non_trainable_variables
        variables = [*self.cell.trainable_variables, *others]
        values = [*weights, *constants[: len(others)]]
        masks = iter(constants[len(others) :])
        held = get_dropout_masks(self.cell)
        set_dropout_masks(
            self.cell,
            tree.map_structure(
                lambda mask: None if mask is None else next(masks), self.masks
            ),
        )
        with AutocastScope(None):
            scope = keras.StatelessScope(zip(variables, values, strict=True))
        before = [scope.get_current_value(variable) for variable in variables]
        try:
            with scope:
                yield
        finally:
            set_dropout_masks(self.cell, held)
        for variable, value in zip(variables, before, strict=True):
            if scope.get_current_value(variable) is not value:
                raise ValueError(
                    "Argument `cell` must not update a variable in its steps, unless "
                    "`recompute=0`: a step that is taken twice would update it twice. "
                    f"Received: cell={self.cell!r}, which updates {variable.path!r}"
                )


class _MemoryRecurrence(_Recurrence):
    """A memory cell. Its state here is its own, in real shapes without axes of 1."""

    def first_state(self, batch_size):
        return _squeezed(tree.flatten(self.cell.unflatten(self.states)))

    def at_the_border(self, state):
        return self.cell.flatten(self._named(state))

    def _note_shapes(self):
        shapes = []
        if self.cell.note_shapes is not None:
            tree.map_shape_structure(shapes.append, self.cell.note_shapes)
        return shapes

    def _is_large(self):
        replayed = self.cell.replayed_states
        return [replayed is None or name in replayed for name in self.cell.state_names]

    def _named(self, state):
        return _shaped(state, self.cell.state_shapes)

    def _call(self, inputs, state, recorded):
        flags = {**self.flags, "recorded": recorded and self._record(recorded)}
        record = self.cell(inputs, self._named(state), **flags)
        notes = [] if record.notes is None else tree.flatten(record.notes)
        return _squeezed(tree.flatten(record.state)), notes

    def _replay(self, given, now, state, recorded):
        if self.cell.replayed_states is None:
            return super()._replay(given, now, state, recorded)
        record = self._record(recorded)
        with self._surroundings(given.weights, given.constants):
            replayed = self.cell.replay(self._named(state), record)
        return _where(now[1], _squeezed(replayed), self.step.large(state))

    def _record(self, recorded):
        """Give the `StepRecord` of the small tensors and the notes of a step."""
        small, notes = recorded
        small = iter(small)
        state = [None if large else next(small) for large in self._is_large()]
        shapes = self.cell.note_shapes
        notes = None if shapes is None else _shaped(notes, shapes)
        return StepRecord(self._named(state), controls=None, notes=notes)


class _InPlaceRecurrence(_MemoryRecurrence):
    """A memory cell whose steps touch a few rows. Its state here is in real shapes."""

    def run(self, given, batch_size, chunks, save):
        """Run the cell over a sequence; give what `in_place.run` gives."""
        state = self.first_state(batch_size)
        return in_place.run(self.step, given, state, chunks.time, save)

    @property
    def step(self):
        """The cell's `in_place.Step`."""
        names, edited = self.cell.state_names, self.cell.edited_states
        is_small = [name not in edited for name in names]
        return in_place.Step(
            advance=self._advance,
            relive=self._relive,
            touched=lambda notes: self._notes(notes).touched,
            is_small=is_small,
            memory=names.index(edited[0]),
            note_shapes=self._note_shapes(),
        )

    def first_state(self, batch_size):
        return tree.flatten(self.cell.unflatten(self.states))

    def _notes(self, notes):
        return _shaped(notes, self.cell.note_shapes)

    def _named(self, state):
        return _packed(state, self.cell.state_shapes)

    def _advance(self, given, now, state):
        inputs, mask = now
        active = mask[0] if mask else None
        with self._surroundings(given.weights, given.constants):
            record = self.cell(inputs, self._named(state), active=active, **self.flags)
        new = tree.flatten(record.state)
        small = iter(_where(mask, self.step.small(new), self.step.small(state)))
        is_small = self.step.is_small
        new = [next(small) if s else t for s, t in zip(is_small, new, strict=True)]
        return new, tree.flatten(record.notes)

    def _relive(self, given, now, small, notes, rows):
        inputs, mask = now
        active = mask[0] if mask else None
        step, leaves = self.step, iter(small)
        state = [next(leaves) if is_small else None for is_small in step.is_small]
        state[step.memory] = rows
        recorded = StepRecord(state=None, controls=None, notes=self._notes(notes))
        with self._surroundings(given.weights, given.constants):
            record = self.cell(
                inputs, self._named(state), recorded=recorded, **self.flags
            )
        new = tree.flatten(record.state)
        additions = new[step.memory]
        small = _where(mask, step.small(new), small)
        return small, where_active(active, additions, ops.zeros_like(additions))


def _packed(tensors, shapes):
    """Give tensors the structure of `shapes`."""
    leaves = iter(tensors)
    return tree.map_shape_structure(lambda shape: next(leaves), shapes)


def _shaped(tensors, shapes):
    """Give tensors the shapes and the structure of `shapes`, `None` where it is."""
    leaves = iter(tensors)

    def shaped(shape):
        leaf = next(leaves)
        return None if leaf is None else ops.reshape(leaf, (-1, *shape))

    return tree.map_shape_structure(shaped, shapes)


def _squeezed(tensors):
    """Leave out axes of size 1, for whose order XLA copies whole tensors.

    One axis stays beside the batch's: the first tensor is the layer's output.
    """
    shapes = [[size for size in tensor.shape[1:] if size != 1] for tensor in tensors]
    return [
        ops.reshape(tensor, (-1, *(shape or [1])))
        for tensor, shape in zip(tensors, shapes, strict=True)
    ]


def _where(mask, new, old):
    """Take `new` where the mask, a list of one or of none, is true, `old` elsewhere."""
    active = mask[0] if mask else None
    return [where_active(active, a, b) for a, b in zip(new, old, strict=True)]
