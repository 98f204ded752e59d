"""Back-propagation through time that stores few states and recomputes the others.

A recurrent memory's state is large, and automatic differentiation keeps several copies
of it for every step. Here the forward loop keeps the large part of the state once per
chunk of steps, and small tensors at every step. The backward loop takes the chunks from
the last to the first: it replays the large states of one chunk, then steps back through
it. With chunks of sqrt(time) steps, the number of large states in memory grows like
sqrt(time) (Chen et al. 2016, Training deep nets with sublinear memory cost).
"""

from typing import Any
from typing import NamedTuple

from keras import ops

from keras_dnc import backend


class Step(NamedTuple):
    """One step of a recurrence, as functions of flat lists of tensors.

    Below, `now` is what the step alone is given: the pair of its inputs, `(batch,
    features)`, and of a list of its mask, `(batch,)`, or of none. `recorded` is what
    the step gave when it was taken before: the pair of the new state's small tensors
    and of the notes.

    Attributes:
        advance: From `(given, now, state, recorded=None)` to `(state, notes)`: the new
            state, whose first tensor is the output, and notes for the second time.
        replay: From `(given, now, state, recorded)` to the large tensors of the new
            state.
        is_large: For each tensor of the state, whether it is kept once per chunk.
        note_shapes: Shape of one sample of each note.
    """

    advance: Any
    replay: Any
    is_large: Any
    note_shapes: Any

    def large(self, state):
        """Give the large tensors of the state."""
        return [t for t, large in zip(state, self.is_large, strict=True) if large]

    def small(self, state):
        """Give the small tensors of the state."""
        return [t for t, large in zip(state, self.is_large, strict=True) if not large]

    def join(self, large, small):
        """Give the state that has these large and small tensors."""
        large, small = iter(large), iter(small)
        return [next(large if is_large else small) for is_large in self.is_large]


class Given(NamedTuple):
    """What a sequence is run on, but for its first state.

    Attributes:
        weights: List of tensors.
        inputs: `(time, batch, features)`.
        constants: List of tensors without gradient, the same at every step.
        mask: List of one tensor `(time, batch)`, or of none.
    """

    weights: Any
    inputs: Any
    constants: Any
    mask: Any

    def at(self, time):
        """Give what the step at `time` alone is given."""
        return self.inputs[time], [mask[time] for mask in self.mask]


class Chunks(NamedTuple):
    """How the steps of a sequence are cut.

    Attributes:
        time: Steps in the sequence.
        size: Steps in a chunk; the last one may be shorter.
    """

    time: Any
    size: Any

    @property
    def count(self):
        """Number of chunks."""
        return (self.time + self.size - 1) // self.size

    def steps(self, chunk):
        """Number of steps in `chunk`."""
        known = _is_int(self.time) and _is_int(self.size)
        if known and self.time % self.size == 0:
            return self.size
        left = self.time - chunk * self.size
        # PyTorch's loops count with integers, TensorFlow's and JAX's with tensors.
        return min(left, self.size) if _is_int(left) else ops.minimum(left, self.size)


class History(NamedTuple):
    """What the forward loop leaves for the backward one, lists of buffers.

    Attributes:
        large: Large tensors of the state, before each chunk.
        small: Small tensors of the state, before each step and after the last.
        notes: What each step gave as its notes.
    """

    large: Any
    small: Any
    notes: Any

    def before(self, time):
        """Give the small tensors of the state before the step at `time`."""
        return backend.read_all(self.small, time)

    def recorded(self, time):
        """Give what the step at `time` has recorded."""
        small = backend.read_all(self.small, time + 1)
        return small, backend.read_all(self.notes, time)


def run(step, given, state, chunks, save):
    """Run `step` over a sequence, with a gradient that recomputes large states.

    Args:
        step: `Step`.
        given: `Given`.
        state: First state, a list of tensors.
        chunks: `Chunks`.
        save: Whether a gradient is to be expected.

    Returns:
        `(outputs, state)`: `(time, batch, features)` and the last state.
    """

    def forward(given, state, save):
        take = _forward_and_save if save else _forward
        return take(step, given, state, chunks)

    def backward(given, history, gradients):
        return _Past(step, given, chunks, history).gradients(*gradients)

    return with_history(given, state, forward, backward, save)


def with_history(given, state, forward, backward, save):
    """Run over a sequence, with a gradient that looks back at a history.

    Args:
        given: `Given`.
        state: First state, a list of tensors.
        forward: From `(given, state, save)` to outputs, last state and history.
        backward: From `(given, history, gradients)` to the gradients of weights,
            inputs and first state, one list; `gradients` are those of the outputs and
            of each tensor of the last state.
        save: Whether a gradient is to be expected.

    Returns:
        `(outputs, state)`: `(time, batch, features)` and the last state.
    """
    parts = [given.weights, [given.inputs], state, given.constants, given.mask]

    def split(tensors):
        tensors = iter(tensors)
        weights, (inputs,), state, constants, mask = [
            [next(tensors) for _ in part] for part in parts
        ]
        return Given(weights, inputs, constants, mask), state

    def run_forward(tensors, save):
        outputs, state, history = forward(*split(tensors), save)
        return [outputs, *state], history

    def run_backward(tensors, history, gradients):
        without = [None] * len(given.constants + given.mask)
        return [*backward(split(tensors)[0], history, gradients), *without]

    tensors = [tensor for part in parts for tensor in part]
    run_both = backend.with_gradient(run_forward, run_backward, save)
    outputs, *state = run_both(tensors)
    return outputs, state


def _forward(step, given, state, chunks):
    """Run through the sequence; give outputs, last state and no history."""

    def take_step(time, carry):
        outputs, state = carry
        state, _ = step.advance(given, given.at(time), state)
        return backend.write(outputs, time, state[0]), state

    carry = (backend.buffer(chunks.time, state[0]), state)
    outputs, state = backend.loop(chunks.time, take_step, carry)
    return backend.stack(outputs), state, ()


def _forward_and_save(step, given, state, chunks):
    """Run through the sequence; give outputs, last state and `History`."""

    def take_chunk(chunk, carry):
        outputs, state, history = carry
        large = backend.write_all(history.large, chunk, step.large(state))

        def take_step(index, carry):
            outputs, state, small, notes = carry
            time = chunk * chunks.size + index
            state, noted = step.advance(given, given.at(time), state)
            outputs = backend.write(outputs, time, state[0])
            small = backend.write_all(small, time + 1, step.small(state))
            return outputs, state, small, backend.write_all(notes, time, noted)

        carry = (outputs, state, history.small, history.notes)
        outputs, state, *history = backend.loop(chunks.steps(chunk), take_step, carry)
        return outputs, state, History(large, *history)

    outputs = backend.buffer(chunks.time, state[0])
    carry = (outputs, state, _empty_history(step, state, chunks))
    outputs, state, history = backend.loop(chunks.count, take_chunk, carry)
    return backend.stack(outputs), state, history


def _empty_history(step, state, chunks):
    """Give empty buffers, but for the small tensors of the first state."""
    batch, small = ops.shape(state[0])[0], step.small(state)
    notes = [ops.zeros((batch, *shape), state[0].dtype) for shape in step.note_shapes]
    return History(
        large=backend.buffers(chunks.count, step.large(state)),
        small=backend.write_all(backend.buffers(chunks.time + 1, small), 0, small),
        notes=backend.buffers(chunks.time, notes),
    )


class _Gradients(NamedTuple):
    """The gradients that the backward loop carries from step to step."""

    weights: Any
    inputs: Any
    state: Any


class _Past(NamedTuple):
    """A sequence that has been run through."""

    step: Any
    given: Any
    chunks: Any
    history: Any

    def gradients(self, outputs_gradient, *state_gradient):
        """Give the gradients of weights, inputs and first state, in this order."""

        def back_chunk(index, carry):
            chunk = self.chunks.count - 1 - index
            states, gradients = carry
            states = self._replay(chunk, states)
            return states, self._back(chunk, states, outputs_gradient, gradients)

        states = backend.buffers(
            self.chunks.size, backend.read_all(self.history.large, 0)
        )
        gradients = _Gradients(
            weights=[ops.zeros_like(weight) for weight in self.given.weights],
            inputs=backend.buffer(self.chunks.time, self.given.inputs[0]),
            state=list(state_gradient),
        )
        carry = (states, gradients)
        _, gradients = backend.loop(self.chunks.count, back_chunk, carry)
        inputs = backend.stack(gradients.inputs)
        return [*gradients.weights, inputs, *gradients.state]

    def _replay(self, chunk, states):
        """Fill the buffers `states` with the large tensors before each step."""
        start, steps = chunk * self.chunks.size, self.chunks.steps(chunk)

        def replay_step(index, carry):
            states, large, (now, small, recorded) = carry
            # Written before it is updated, or XLA would update it once more to write.
            states = backend.write_all(states, index, large)
            state = self.step.join(large, small)
            large = self.step.replay(self.given, now, state, recorded)
            return (
                states,
                large,
                self._moment(start + ops.minimum(index + 1, steps - 1)),
            )

        carry = (
            states,
            backend.read_all(self.history.large, chunk),
            self._moment(start),
        )
        return backend.loop(steps, replay_step, carry)[0]

    def _back(self, chunk, states, outputs_gradient, gradients):
        """Step back through a chunk, whose large tensors are in `states`."""
        start, steps = chunk * self.chunks.size, self.chunks.steps(chunk)

        def back_step(index, carry):
            gradients, moment = carry
            place = steps - 1 - index
            state = self.step.join(backend.read_all(states, place), moment[1])
            output, *others = gradients.state
            output = output + outputs_gradient[start + place]
            new = self._vjp(moment, state, [output, *others])
            gradients = _Gradients(
                [a + b for a, b in zip(gradients.weights, new.weights, strict=True)],
                backend.write(gradients.inputs, start + place, new.inputs),
                new.state,
            )
            return gradients, self._moment(start + ops.maximum(place - 1, 0))

        carry = (gradients, self._moment(start + steps - 1))
        return backend.loop(steps, back_step, carry)[0]

    def _moment(self, time):
        """Read what a step was given, its state's small tensors, and what it recorded.

        The loops read ahead, one step early: XLA would otherwise read again for every
        number that a large elementwise operation computes.
        """
        history = self.history
        return self.given.at(time), history.before(time), history.recorded(time)

    def _vjp(self, moment, state, gradients):
        """Back-propagate through one step, from the gradients of its new state."""
        (inputs, mask), _, recorded = moment
        count = len(self.given.weights)

        def advance(tensors):
            given = self.given._replace(weights=tensors[:count])
            now = (tensors[count], mask)
            return self.step.advance(given, now, tensors[count + 1 :], recorded)[0]

        tensors = [*self.given.weights, inputs, *state]
        new = list(backend.vjp(advance, tensors, gradients))
        return _Gradients(new[:count], new[count], new[count + 1 :])


def _is_int(value):
    return isinstance(value, int)
