"""Back-propagation through time of a memory of which a step touches a few rows.

Automatic differentiation keeps a copy of the memory for every step, and passes over all
of it. Here the forward loop edits one memory in place, and keeps the small tensors of
the state, the slots that a step touched and the rows that it read there. The backward
loop carries one gradient of the memory. At each step it gathers that gradient's rows
where the step has written, back-propagates through the step as a function of the rows
that it read, and adds what that gives to the rows it read. No step costs more for a
larger memory. It is the scheme of Rae et al. 2016, section 3.4, which rolls the memory
itself back; the rows that were read, kept, make that needless.
"""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_dnc import backend
from keras_dnc.bptt.recompute import with_history
from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows


class Step(NamedTuple):
    """One step of a recurrence, as functions of flat lists of tensors.

    `now` is as in `recompute.Step`.

    Attributes:
        advance: From `(given, now, state)` to `(state, notes)`: the new state, whose
            first tensor is the output, and the step's notes.
        relive: From `(given, now, small, notes, rows)` to `(small, additions)`: the
            small tensors of the new state, and what the step adds to the memory's rows
            at `Touched.written`; `rows` are those at `Touched.read` before the step.
        touched: From the notes to `Touched`.
        is_small: For each tensor of the state, whether it is kept at every step.
        memory: Which tensor of the state is the memory.
        note_shapes: Shape of one sample of each note.
    """

    advance: Any
    relive: Any
    touched: Any
    is_small: Any
    memory: Any
    note_shapes: Any

    def small(self, state):
        """Give the small tensors of the state."""
        return [t for t, small in zip(state, self.is_small, strict=True) if small]


def run(step, given, state, time, save):
    """Run `step` over a sequence, with a gradient that touches what the steps touched.

    The gradient of the first state reaches its small tensors and its memory.

    Args:
        step: `Step`.
        given: `recompute.Given`.
        state: First state, a list of tensors.
        time: Steps in the sequence, an integer or a tensor.
        save: Whether a gradient is to be expected.

    Returns:
        `(outputs, state)`: `(time, batch, features)` and the last state.
    """

    def forward(given, state, save):
        return _forward(step, given, state, time, save)

    def backward(given, history, gradients):
        return _Past(step, given, time, history).gradients(*gradients)

    return with_history(given, state, forward, backward, save)


def _forward(step, given, state, time, save):
    """Run through the sequence; give outputs, last state and history.

    The history is a pair of lists of buffers, small tensors of the state before each
    step and notes of each step, or empty lists if it is not to be saved.
    """

    def take_step(index, carry):
        outputs, state, (small, notes) = carry
        before = step.small(state)
        state, noted = step.advance(given, given.at(index), state)
        if save:
            small = backend.write_all(small, index, before)
            notes = backend.write_all(notes, index, noted)
        return backend.write(outputs, index, state[0]), state, (small, notes)

    history = _room(step, state, time) if save else ([], [])
    carry = (backend.buffer(time, state[0]), state, history)
    outputs, state, history = backend.loop(time, take_step, carry)
    return backend.stack(outputs), state, history


def _room(step, state, time):
    batch = ops.shape(state[0])[0]
    notes = [ops.zeros((batch, *shape), state[0].dtype) for shape in step.note_shapes]
    return backend.buffers(time, step.small(state)), backend.buffers(time, notes)


class _Gradients(NamedTuple):
    """The gradients that the backward loop carries from step to step."""

    weights: Any
    inputs: Any
    small: Any
    memory: Any


class _Past(NamedTuple):
    """A sequence that has been run through."""

    step: Any
    given: Any
    time: Any
    history: Any

    def gradients(self, outputs_gradient, *state_gradient):
        """Give the gradients of weights, inputs and first state, in this order."""

        def back_step(index, carry):
            gradients, moment = carry
            time = self.time - 1 - index
            output, *others = gradients.small
            small = [output + outputs_gradient[time], *others]
            gradients = gradients._replace(small=small)
            gradients = self._back(time, moment, gradients)
            return gradients, self._moment(ops.maximum(time - 1, 0), gradients.memory)

        gradients = _Gradients(
            weights=[ops.zeros_like(weight) for weight in self.given.weights],
            inputs=backend.buffer(self.time, self.given.inputs[0]),
            small=self.step.small(state_gradient),
            memory=state_gradient[self.step.memory],
        )
        carry = (gradients, self._moment(self.time - 1, gradients.memory))
        gradients, _ = backend.loop(self.time, back_step, carry)
        small = iter(gradients.small)
        state = [next(small) if is_small else None for is_small in self.step.is_small]
        state[self.step.memory] = gradients.memory
        return [*gradients.weights, backend.stack(gradients.inputs), *state]

    def _moment(self, time, memory_gradient):
        """Read what the step at `time` was given, left, and the gradient it has caused.

        The loop reads ahead, at the end of the step after: XLA edits the gradient of
        the memory in place where nothing reads it beside.
        """
        small, notes = [backend.read_all(part, time) for part in self.history]
        written = self.step.touched(notes).written
        return self.given.at(time), small, notes, gather_rows(memory_gradient, written)

    def _back(self, time, moment, gradients):
        """Step back through the step at `time`."""
        (_, mask), _, notes, by_additions = moment
        touched = self.step.touched(notes)
        weights, by_inputs, by_small, by_rows = self._vjp(
            moment, touched.rows, [*gradients.small, by_additions]
        )
        slots = ops.concatenate([touched.read, touched.erased], axis=1)
        by_rows = ops.pad(by_rows, [(0, 0), (0, 1), (0, 0)])
        memory, _, _ = add_to_rows(
            gradients.memory, slots, touched.erased, by_rows, mask[0] if mask else None
        )
        return _Gradients(
            [a + b for a, b in zip(gradients.weights, weights, strict=True)],
            backend.write(gradients.inputs, time, by_inputs),
            by_small,
            memory,
        )

    def _vjp(self, moment, rows, gradients):
        """Back-propagate through one step, as a function of the rows that it read."""
        (inputs, mask), small, notes, _ = moment
        count = len(self.given.weights)

        def relive(tensors):
            given = self.given._replace(weights=tensors[:count])
            now = (tensors[count], mask)
            small, rows = tensors[count + 1 : -1], tensors[-1]
            small, additions = self.step.relive(given, now, small, notes, rows)
            return [*small, additions]

        tensors = [*self.given.weights, inputs, *small, rows]
        new = list(backend.vjp(relive, tensors, gradients))
        return new[:count], new[count], new[count + 1 : -1], new[-1]
