"""Loops over time, forward and backward, that run and differentiate a recurrence.

The loops are the same for every cell. A `Policy` determines which tensors of a step the
forward pass saves, and how the backward pass differentiates the step.

The forward pass divides the steps into chunks. It saves the large tensors of the state
once before each chunk, as checkpoints, and the small tensors and the residuals at every
step. The backward pass goes through the chunks from the last to the first: it
recomputes the large tensors around each step of a chunk, and then back-propagates
through the chunk. With chunks of sqrt(time) steps, the number of large states in memory
grows with sqrt(time) (Chen et al. 2016, Training deep nets with sublinear memory cost).
"""

from typing import Any, NamedTuple

from keras import ops

from keras_dnc import backend
from keras_dnc.bptt.deferred import factor_buffers
from keras_dnc.bptt.deferred import multiply_factors
from keras_dnc.bptt.deferred import write_factors
from keras_dnc.bptt.policy import Gradients
from keras_dnc.bptt.policy import Policy
from keras_dnc.bptt.policy import SavedStep
from keras_dnc.bptt.policy import Sequence
from keras_dnc.bptt.policy import splitter
from keras_dnc.typing import Buffer, Tensor, Tensors


class Chunks(NamedTuple):
    """The division of the steps of a sequence into chunks.

    A size that is the very object `time` makes one chunk, also where both are tensors:
    a sparse memory saves no checkpoints, and a prediction saves nothing.

    Attributes:
        time: Steps in the sequence, an integer or a scalar integer tensor.
        size: Steps in a chunk, an integer or a tensor; the last chunk may be shorter.
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
        # The index of a loop is an integer on PyTorch, else a tensor.
        is_integer = isinstance(left, int)
        return min(left, self.size) if is_integer else ops.minimum(left, self.size)


class Saved(NamedTuple):
    """The buffers that the forward pass writes for the backward pass.

    Attributes:
        checkpoints: One buffer for each large tensor of the state, with its values
            before each chunk.
        small: One buffer for each small tensor of the state, with its values before
            each step and after the last.
        residuals: One buffer for each residual, with its values at each step.
    """

    checkpoints: list[Buffer]
    small: list[Buffer]
    residuals: list[Buffer]


def scan(
    policy: Policy, sequence: Sequence, state: Tensors, chunks: Chunks, save: bool
) -> tuple[Tensor, Tensors]:
    """Run a recurrence over a sequence; its gradient is computed by a policy.

    Args:
        policy: `Policy`.
        sequence: `Sequence`.
        state: The state before the first step, a list of tensors.
        chunks: `Chunks`.
        save: Whether a gradient is expected.

    Returns:
        `(outputs, state)`: `(time, batch, features)` and the last state.
    """
    parts = [
        sequence.weights,
        [sequence.inputs],
        state,
        sequence.constants,
        sequence.mask,
    ]

    split_parts = splitter(parts)

    def split(tensors: Tensors) -> tuple[Sequence, Tensors]:
        weights, (inputs,), state, constants, mask = split_parts(tensors)
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
    run = backend.with_gradient(forward, backward, save, policy.second_order)
    outputs, *state = run(tensors)
    return outputs, state


def _forward(
    policy: Policy, sequence: Sequence, state: Tensors, chunks: Chunks, save: bool
) -> tuple[Tensor, Tensors, Saved]:
    """Run the forward pass; return the outputs, the last state and the buffers."""
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
                small = policy.small(state)
                saved = saved._replace(
                    small=backend.write_all(saved.small, time + 1, small),
                    residuals=backend.write_all(saved.residuals, time, residuals),
                )
            return outputs, state, saved

        carry = outputs, state, saved
        return backend.loop(chunks.steps(chunk), take_step, carry)

    saved = _empty(policy, state, chunks) if save else Saved([], [], [])
    outputs = backend.buffer(chunks.time, state[0])
    carry = (outputs, state, saved)
    outputs, state, saved = backend.loop(chunks.count, take_chunk, carry)
    return backend.stack(outputs), state, saved


def _empty(policy: Policy, state: Tensors, chunks: Chunks) -> Saved:
    """Return new buffers, with only the small tensors of the first state written."""
    small = policy.small(state)
    residuals = policy.zero_residuals(state)
    return Saved(
        checkpoints=backend.buffers(chunks.count, policy.large(state)),
        small=backend.write_all(backend.buffers(chunks.time + 1, small), 0, small),
        residuals=backend.buffers(chunks.time, residuals),
    )


class _Backward(NamedTuple):
    """The backward pass over a sequence.

    Attributes:
        policy: `Policy`.
        sequence: `Sequence`.
        chunks: `Chunks` of the forward pass.
        saved: `Saved` by the forward pass.
    """

    policy: Policy
    sequence: Sequence
    chunks: Chunks
    saved: Saved

    def gradients(
        self, outputs_gradient: Tensor, *state_gradient: Tensor
    ) -> list[Tensor | None]:
        """Return the gradients with respect to weights, inputs and first state.

        Args:
            outputs_gradient: Gradient with respect to the outputs, `(time, batch,
                features)`.
            *state_gradient: Gradients with respect to each tensor of the last state.

        Returns:
            One list, in this order.
        """

        def back_chunk(index: Tensor, carry: Any) -> Any:
            chunk = self.chunks.count - 1 - index
            buffers, gradients = carry
            buffers = self._recomputed(chunk, buffers)
            return buffers, self._back(chunk, buffers, outputs_gradient, gradients)

        first = backend.read_all(self.saved.checkpoints, 0)
        gradients = Gradients(
            weights=[ops.zeros_like(weight) for weight in self.sequence.weights],
            factors=[],
            inputs=backend.buffer(self.chunks.time, self.sequence.inputs[0]),
            carried=self.policy.carried_gradients(list(state_gradient)),
        )
        carry = (backend.buffers(self.chunks.size + 1, first), gradients)
        _, gradients = backend.loop(self.chunks.count, back_chunk, carry)
        inputs = backend.stack(gradients.inputs)
        state = self.policy.state_gradients(gradients.carried)
        return [*gradients.weights, inputs, *state]

    def _recomputed(self, chunk: Tensor, buffers: list[Buffer]) -> list[Buffer]:
        """Write the large tensors before and after each step of a chunk to buffers."""
        if not buffers:
            return buffers
        start, steps = chunk * self.chunks.size, self.chunks.steps(chunk)

        def recompute(index: Tensor, carry: Any) -> Any:
            buffers, large, saved = carry
            # Write before update: XLA would otherwise compute the update twice, once
            # for the buffer and once for the carry.
            buffers = backend.write_all(buffers, index, large)
            large = self.policy.recompute(self.sequence, saved, large)
            next_time = start + ops.minimum(index + 1, steps - 1)
            return buffers, large, self._read_step(next_time, [])

        large = backend.read_all(self.saved.checkpoints, chunk)
        carry = (buffers, large, self._read_step(start, []))
        buffers, large, _ = backend.loop(steps, recompute, carry)
        return backend.write_all(buffers, steps, large)

    def _back(
        self,
        chunk: Tensor,
        buffers: list[Buffer],
        outputs_gradient: Tensor,
        gradients: Gradients,
    ) -> Gradients:
        """Back-propagate through the steps of a chunk."""
        start, steps = chunk * self.chunks.size, self.chunks.steps(chunk)
        deferred, weights = self.policy.deferred, self.sequence.weights

        def back_step(index: Tensor, carry: Any) -> Any:
            gradients, saved = carry
            position = steps - 1 - index
            time = start + position
            output, *others = gradients.carried
            carried = [output + outputs_gradient[time], *others]
            new = self.policy.differentiate(
                self.sequence, saved, buffers, position, carried
            )
            gradients = Gradients(
                _added(gradients.weights, new.weights),
                write_factors(gradients.factors, position, new.factors),
                backend.write(gradients.inputs, time, new.inputs),
                new.carried,
            )
            next_time = start + ops.maximum(position - 1, 0)
            return gradients, self._read_step(next_time, gradients.carried)

        # The number of steps is an integer on PyTorch, which stacks no empty entries.
        size = steps if isinstance(steps, int) else self.chunks.size
        batch = ops.shape(self.sequence.inputs)[1]
        gradients = gradients._replace(factors=factor_buffers(deferred, size, batch))
        carry = (gradients, self._read_step(start + steps - 1, gradients.carried))
        gradients, _ = backend.loop(steps, back_step, carry)
        new = multiply_factors(deferred, gradients.factors, weights)
        return gradients._replace(weights=_added(gradients.weights, new), factors=[])

    def _read_step(self, time: Tensor, carried: Tensors) -> SavedStep:
        """Read the saved tensors of step `time`.

        The loops read ahead: an iteration reads the tensors of the next one, and the
        loop carries them. XLA would otherwise fuse reading into large elementwise
        operations, and read again for every number that they compute.
        """
        residuals = backend.read_all(self.saved.residuals, time)
        return SavedStep(
            self.sequence.at(time),
            backend.read_all(self.saved.small, time),
            backend.read_all(self.saved.small, time + 1),
            residuals,
            self.policy.read_ahead(residuals, carried) if carried else [],
        )


def _added(
    gradients: list[Tensor | None], new: list[Tensor | None]
) -> list[Tensor | None]:
    """Add new gradients to those with respect to the same weights; `None` is zero."""
    pairs = zip(gradients, new, strict=True)
    return [old if found is None else old + found for old, found in pairs]
