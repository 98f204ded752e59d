"""Run a recurrence over a sequence, and back-propagate through it.

One driver for every cell. How much of a step's state is kept on the way forward, and
how a step is differentiated, is up to a policy: `checkpointing` for dense memories and
any Keras cell, `touched_rows` for sparse memories.

The forward pass cuts the steps into chunks. It saves the large tensors of the state,
the checkpoints, before each chunk, and the small ones and the residuals at every step.
The backward pass takes the chunks from the last to the first: it recomputes the large
tensors before each step of one chunk, then steps back through it. With chunks of
sqrt(time) steps, the number of large states in memory grows like sqrt(time) (Chen et
al. 2016, Training deep nets with sublinear memory cost).
"""

from typing import Any, NamedTuple, Protocol

from keras import ops

from keras_dnc import backend
from keras_dnc.typing import Buffer, Tensor, Tensors


class StepInputs(NamedTuple):
    """The inputs of one step.

    Attributes:
        inputs: `(batch, features)`.
        mask: List of one tensor `(batch,)`, or of none.
    """

    inputs: Tensor
    mask: Tensors

    @property
    def active(self) -> Tensor | None:
        """The batch elements that take the step, `(batch,)`; `None` for all."""
        return self.mask[0] if self.mask else None


class Sequence(NamedTuple):
    """The arguments of a recurrence, without its first state.

    Attributes:
        weights: List of tensors.
        inputs: `(time, batch, features)`.
        constants: List of tensors without gradient, the same at every step.
        mask: List of one tensor `(time, batch)`, or of none.
    """

    weights: Tensors
    inputs: Tensor
    constants: Tensors
    mask: Tensors

    def at(self, time: Tensor) -> StepInputs:
        """Return the inputs of the step at `time`."""
        return StepInputs(self.inputs[time], [mask[time] for mask in self.mask])


class Chunks(NamedTuple):
    """How the steps of a sequence are cut.

    Attributes:
        time: Steps in the sequence, an integer or a tensor.
        size: Steps in a chunk; the last one may be shorter.
    """

    time: Tensor
    size: Tensor

    @property
    def count(self) -> Tensor:
        """Number of chunks."""
        return 1 if self.size is self.time else (self.time + self.size - 1) // self.size

    def steps(self, chunk: Tensor) -> Tensor:
        """Return the number of steps in `chunk`."""
        known = isinstance(self.time, int) and isinstance(self.size, int)
        if self.size is self.time or (known and self.time % self.size == 0):
            return self.size
        left = self.time - chunk * self.size
        # PyTorch's loops count with integers, TensorFlow's and JAX's with tensors.
        is_integer = isinstance(left, int)
        return min(left, self.size) if is_integer else ops.minimum(left, self.size)


class Saved(NamedTuple):
    """The buffers that the forward pass leaves for the backward one.

    Attributes:
        checkpoints: Large tensors of the state, before each chunk.
        small: Small tensors of the state, before each step and after the last.
        residuals: Residuals of each step.
    """

    checkpoints: list[Buffer]
    small: list[Buffer]
    residuals: list[Buffer]


class StepSaved(NamedTuple):
    """The saved tensors that belong to one step.

    Attributes:
        now: Its `StepInputs`.
        before: Small tensors of the state before it.
        after: Small tensors of the state after it.
        residuals: Its residuals.
        extra: Whatever else the policy reads ahead.
    """

    now: StepInputs
    before: Tensors
    after: Tensors
    residuals: Tensors
    extra: Any


class Gradients(NamedTuple):
    """Gradients with respect to weights and inputs, and those a policy carries.

    Attributes:
        weights: List of tensors.
        inputs: In the loop, a buffer `(time, batch, features)`; of one step, a tensor.
        state: List of tensors; the first is that of the output.
    """

    weights: Tensors
    inputs: Any
    state: Tensors


class Policy(Protocol):
    """How a recurrence takes a step, and how a step is differentiated.

    The state is a flat list of tensors whose first is the output.
    """

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; return the new state and the residuals."""

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the first state."""

    def large(self, state: Tensors) -> Tensors:
        """Return the tensors that are saved once per chunk."""

    def small(self, state: Tensors) -> Tensors:
        """Return the tensors that are saved at every step."""

    def residual_specs(self, state: Tensors) -> Tensors:
        """Return tensors of the shapes and types of a step's residuals."""

    def recompute(
        self, sequence: Sequence, saved: StepSaved, large: Tensors
    ) -> Tensors:
        """Return the large tensors after a step, from those before it."""

    def carried(self, state_gradient: Tensors) -> Tensors:
        """Return the part of the state's gradient that the backward loop carries."""

    def read_ahead(self, residuals: Tensors, carried: Tensors) -> Any:
        """Return `StepSaved.extra` of the step that is differentiated next."""

    def differentiate(
        self,
        sequence: Sequence,
        saved: StepSaved,
        large: list[Buffer],
        place: Tensor,
        carried: Tensors,
    ) -> Gradients:
        """Back-propagate through one step.

        Args:
            sequence: `Sequence`.
            saved: The step's `StepSaved`.
            large: Buffers of the large tensors before each step of its chunk, and
                after the last.
            place: Number of the step in its chunk.
            carried: Gradients with respect to the state after the step.
        """

    def uncarried(self, carried: Tensors) -> list[Tensor | None]:
        """Return the gradient with respect to each tensor of the first state."""


def scan(
    policy: Policy, sequence: Sequence, state: Tensors, chunks: Chunks, save: bool
) -> tuple[Tensor, Tensors]:
    """Run a recurrence over a sequence, with the gradient of a policy.

    Args:
        policy: `Policy`.
        sequence: `Sequence`.
        state: First state, a list of tensors.
        chunks: `Chunks`.
        save: Whether a gradient is expected.

    Returns:
        `(outputs, state)`: `(time, batch, features)` and the last state.
    """
    parts = [sequence.weights, [sequence.inputs], state]
    parts += [sequence.constants, sequence.mask]

    def split(tensors: Tensors) -> tuple[Sequence, Tensors]:
        remaining = iter(tensors)
        weights, (inputs,), state, constants, mask = [
            [next(remaining) for _ in part] for part in parts
        ]
        return Sequence(weights, inputs, constants, mask), state

    def forward(tensors: Tensors, save: bool) -> tuple[Tensors, Saved]:
        outputs, state, saved = _forward(policy, *split(tensors), chunks, save)
        return [outputs, *state], saved

    def backward(
        tensors: Tensors, saved: Saved, gradients: Tensors
    ) -> list[Tensor | None]:
        without = [None] * len(sequence.constants + sequence.mask)
        run = _Backward(policy, split(tensors)[0], chunks, Saved(*saved))
        return [*run.gradients(*gradients), *without]

    tensors = [tensor for part in parts for tensor in part]
    outputs, *state = backend.with_gradient(forward, backward, save)(tensors)
    return outputs, state


def _forward(
    policy: Policy, sequence: Sequence, state: Tensors, chunks: Chunks, save: bool
) -> tuple[Tensor, Tensors, Saved]:
    """Run through the sequence; return outputs, last state and what is saved."""
    if not save:
        chunks = Chunks(chunks.time, chunks.time)

    def take_chunk(chunk: Tensor, carry: Any) -> Any:
        outputs, state, saved = carry
        if save:
            large = policy.large(state)
            checkpoints = backend.write_all(saved.checkpoints, chunk, large)
            saved = saved._replace(checkpoints=checkpoints)

        def take_step(index: Tensor, carry: Any) -> Any:
            outputs, state, saved = carry
            time = chunk * chunks.size + index
            state, residuals = policy.advance(sequence, sequence.at(time), state)
            outputs = backend.write(outputs, time, state[0])
            if save:
                saved = _after_step(policy, saved, time, state, residuals)
            return outputs, state, saved

        carry = outputs, state, saved
        return backend.loop(chunks.steps(chunk), take_step, carry)

    saved = _empty(policy, state, chunks) if save else Saved([], [], [])
    outputs = backend.buffer(chunks.time, state[0])
    carry = (outputs, state, saved)
    outputs, state, saved = backend.loop(chunks.count, take_chunk, carry)
    return backend.stack(outputs), state, saved


def _empty(policy: Policy, state: Tensors, chunks: Chunks) -> Saved:
    """Return empty buffers, but for the small tensors of the first state."""
    small = policy.small(state)
    specs = policy.residual_specs(state)
    return Saved(
        checkpoints=backend.buffers(chunks.count, policy.large(state)),
        small=backend.write_all(backend.buffers(chunks.time + 1, small), 0, small),
        residuals=backend.buffers(chunks.time, specs),
    )


def _after_step(
    policy: Policy, saved: Saved, time: Tensor, state: Tensors, residuals: Tensors
) -> Saved:
    """Save the small tensors after the step at `time`, and its residuals."""
    return saved._replace(
        small=backend.write_all(saved.small, time + 1, policy.small(state)),
        residuals=backend.write_all(saved.residuals, time, residuals),
    )


class _Backward(NamedTuple):
    """A backward pass."""

    policy: Policy
    sequence: Sequence
    chunks: Chunks
    saved: Saved

    def gradients(
        self, outputs_gradient: Tensor, *state_gradient: Tensor
    ) -> list[Tensor | None]:
        """Return the gradients of weights, inputs and first state, in this order."""

        def back_chunk(index: Tensor, carry: Any) -> Any:
            chunk = self.chunks.count - 1 - index
            large, gradients = carry
            large = self._recomputed(chunk, large)
            return large, self._back(chunk, large, outputs_gradient, gradients)

        first = backend.read_all(self.saved.checkpoints, 0)
        gradients = Gradients(
            weights=[ops.zeros_like(weight) for weight in self.sequence.weights],
            inputs=backend.buffer(self.chunks.time, self.sequence.inputs[0]),
            state=self.policy.carried(list(state_gradient)),
        )
        carry = (backend.buffers(self.chunks.size + 1, first), gradients)
        _, gradients = backend.loop(self.chunks.count, back_chunk, carry)
        inputs = backend.stack(gradients.inputs)
        return [*gradients.weights, inputs, *self.policy.uncarried(gradients.state)]

    def _recomputed(self, chunk: Tensor, buffers: list[Buffer]) -> list[Buffer]:
        """Fill the buffers with the large tensors around each step of a chunk."""
        if not buffers:
            return buffers
        start, steps = chunk * self.chunks.size, self.chunks.steps(chunk)

        def recompute(index: Tensor, carry: Any) -> Any:
            buffers, large, saved = carry
            # Written before it is updated, or XLA would update it once more to write.
            buffers = backend.write_all(buffers, index, large)
            large = self.policy.recompute(self.sequence, saved, large)
            ahead = start + ops.minimum(index + 1, steps - 1)
            return buffers, large, self._step_saved(ahead, [])

        large = backend.read_all(self.saved.checkpoints, chunk)
        carry = (buffers, large, self._step_saved(start, []))
        buffers, large, _ = backend.loop(steps, recompute, carry)
        return backend.write_all(buffers, steps, large)

    def _back(
        self,
        chunk: Tensor,
        large: list[Buffer],
        outputs_gradient: Tensor,
        gradients: Gradients,
    ) -> Gradients:
        """Step back through a chunk."""
        start, steps = chunk * self.chunks.size, self.chunks.steps(chunk)

        def back_step(index: Tensor, carry: Any) -> Any:
            gradients, saved = carry
            place = steps - 1 - index
            time = start + place
            output, *others = gradients.state
            carried = [output + outputs_gradient[time], *others]
            new = self.policy.differentiate(self.sequence, saved, large, place, carried)
            gradients = Gradients(
                [a + b for a, b in zip(gradients.weights, new.weights, strict=True)],
                backend.write(gradients.inputs, time, new.inputs),
                new.state,
            )
            ahead = start + ops.maximum(place - 1, 0)
            return gradients, self._step_saved(ahead, gradients.state)

        carry = (gradients, self._step_saved(start + steps - 1, gradients.state))
        return backend.loop(steps, back_step, carry)[0]

    def _step_saved(self, time: Tensor, carried: Tensors) -> StepSaved:
        """Read the saved tensors of the step at `time`.

        The loops read ahead, one step early: XLA would otherwise read again for every
        number that a large elementwise operation computes.
        """
        residuals = backend.read_all(self.saved.residuals, time)
        return StepSaved(
            self.sequence.at(time),
            backend.read_all(self.saved.small, time),
            backend.read_all(self.saved.small, time + 1),
            residuals,
            self.policy.read_ahead(residuals, carried) if carried else [],
        )
