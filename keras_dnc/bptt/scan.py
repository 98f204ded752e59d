"""Loops over time, forward and backward, that run and differentiate a recurrence.

The loops are the same for every cell. A `Policy` determines which tensors of a step the
forward pass saves, and how the backward pass differentiates the step: `checkpointing`
has the policies of dense memories and of any Keras cell, `touched_rows` that of sparse
memories.

The forward pass divides the steps into chunks. It saves the large tensors of the state
once before each chunk, as checkpoints, and the small tensors and the residuals at every
step. The backward pass goes through the chunks from the last to the first: it
recomputes the large tensors around each step of a chunk, and then back-propagates
through the chunk. With chunks of sqrt(time) steps, the number of large states in memory
grows with sqrt(time) (Chen et al. 2016, Training deep nets with sublinear memory cost).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_dnc import backend
from keras_dnc.bptt.deferred import Deferred
from keras_dnc.bptt.deferred import Factors
from keras_dnc.bptt.deferred import at_every_step
from keras_dnc.bptt.deferred import factor_buffers
from keras_dnc.bptt.deferred import multiply_factors
from keras_dnc.bptt.deferred import write_factors
from keras_dnc.bptt.deferred import zero_taps
from keras_dnc.ops.linear import deferring
from keras_dnc.typing import Buffer, Tensor, Tensors


class StepInputs(NamedTuple):
    """The inputs of one step.

    Attributes:
        inputs: `(batch, features)`.
        mask: List of zero or one tensor, booleans `(batch,)`.
    """

    inputs: Tensor
    mask: Tensors

    @property
    def active(self) -> Tensor | None:
        """Booleans `(batch,)`: which batch elements take the step; `None` for all."""
        return self.mask[0] if self.mask else None


class Sequence(NamedTuple):
    """The arguments of a recurrence, without its first state.

    Attributes:
        weights: List of tensors.
        inputs: `(time, batch, features)`.
        constants: List of tensors without a gradient, the same at every step.
        mask: List of zero or one tensor, booleans `(time, batch)`.
    """

    weights: Tensors
    inputs: Tensor
    constants: Tensors
    mask: Tensors

    def at(self, time: Tensor) -> StepInputs:
        """Return the inputs of step `time`."""
        return StepInputs(self.inputs[time], [mask[time] for mask in self.mask])


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


class SavedStep(NamedTuple):
    """The tensors of one step that have been read from `Saved`.

    Attributes:
        now: `StepInputs` of the step.
        small_before: Small tensors of the state before the step.
        small_after: Small tensors of the state after the step.
        residuals: Residuals of the step.
        ahead: The result of `Policy.read_ahead`; an empty list if no gradient is
            computed.
    """

    now: StepInputs
    small_before: Tensors
    small_after: Tensors
    residuals: Tensors
    ahead: Any


class Gradients(NamedTuple):
    """The gradients that the backward loop carries, or those of one step.

    Attributes:
        weights: List of tensors, the gradients with respect to the weights; for one
            step, `None` for a weight whose gradient is deferred.
        factors: List of `Factors`, one for each deferred product: in the loop over the
            steps of a chunk, buffers.
        inputs: Gradient with respect to the inputs: in the loop, a buffer of `time`
            entries `(batch, features)`; for one step, one such tensor.
        carried: List of tensors, the gradients with respect to the state that a policy
            carries; the first is that of the output.
    """

    weights: list[Tensor | None]
    factors: list[Factors]
    inputs: Any
    carried: Tensors


class Policy:
    """Base of the policies: how a step is taken, saved, recomputed and differentiated.

    The state is a flat list of tensors, the first of which is the output. A subclass
    has `first_state`, `advance` and `differentiate`. By default no tensor of the state
    is large or small, there are no residuals, and the backward loop carries the
    gradient with respect to every tensor of the state.

    Attributes:
        second_order: Whether the gradient of the gradient is right with the values that
            the forward pass has saved as constants.
        deferred: List of `Deferred`, the products of a step whose weight gradients are
            computed once for all steps.
    """

    second_order = True
    deferred: list[Deferred] = []

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the state before the first step."""
        raise NotImplementedError

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step.

        Args:
            sequence: `Sequence`.
            now: `StepInputs` of the step.
            state: The state before the step.

        Returns:
            `(state, residuals)`: the state after the step and a list of tensors.
        """
        raise NotImplementedError

    def large(self, state: Tensors) -> Tensors:
        """Return the tensors of the state that are saved once per chunk."""
        return []

    def small(self, state: Tensors) -> Tensors:
        """Return the tensors of the state that are saved at every step."""
        return []

    def zero_residuals(self, state: Tensors) -> Tensors:
        """Return zeros with the shapes and dtypes of the residuals of a step."""
        return []

    def recompute(
        self, sequence: Sequence, saved: SavedStep, large: Tensors
    ) -> Tensors:
        """Compute the large tensors after a step; called only if there are any.

        Args:
            sequence: `Sequence`.
            saved: `SavedStep` of the step.
            large: Large tensors of the state before the step.

        Returns:
            Large tensors of the state after the step.
        """
        raise NotImplementedError

    def carried_gradients(self, gradients: Tensors) -> Tensors:
        """Return the gradients that the backward loop starts with.

        Args:
            gradients: Gradients with respect to each tensor of the last state.
        """
        return gradients

    def state_gradients(self, carried: Tensors) -> list[Tensor | None]:
        """Return the gradients with respect to each tensor of the first state.

        Args:
            carried: The gradients that the backward loop ends with.
        """
        return list(carried)

    def read_ahead(self, residuals: Tensors, carried: Tensors) -> Any:
        """Return `SavedStep.ahead` of the step that is differentiated next.

        Args:
            residuals: Residuals of that step.
            carried: Gradients carried to that step.
        """
        return []

    def differentiate(
        self,
        sequence: Sequence,
        saved: SavedStep,
        buffers: list[Buffer],
        position: Tensor,
        carried: Tensors,
    ) -> Gradients:
        """Back-propagate through one step.

        Args:
            sequence: `Sequence`.
            saved: `SavedStep` of the step.
            buffers: Buffers of the large tensors before each step of the chunk and
                after the last.
            position: Index of the step in the chunk.
            carried: Carried gradients with respect to the state after the step.

        Returns:
            `Gradients` of the step, whose `carried` are with respect to the state
            before the step.
        """
        raise NotImplementedError


def step_gradients(
    take_step: Callable[[Sequence, StepInputs, Tensors], Tensors],
    sequence: Sequence,
    now: StepInputs,
    others: Tensors,
    gradients: Tensors,
    deferred: list[Deferred],
) -> Gradients:
    """Back-propagate through one step as a function of weights, inputs and others.

    Args:
        take_step: Function of `sequence`, `now` and `others` that returns tensors.
        sequence: `Sequence`.
        now: `StepInputs` of the step.
        others: List of tensors.
        gradients: Gradients with respect to the tensors that `take_step` returns.
        deferred: List of `Deferred`.

    Returns:
        `Gradients`, whose `carried` are with respect to `others`.
    """
    taps = zero_taps(deferred, ops.shape(now.inputs)[0])
    free = at_every_step(len(sequence.weights), deferred)
    parts = [[sequence.weights[index] for index in free], [now.inputs], others, taps]
    split = _splitter(parts)

    def run(tensors: Tensors) -> tuple[Tensors, Tensors]:
        weights, (inputs,), others, taps = split(tensors)
        given = list(sequence.weights)
        for index, weight in zip(free, weights, strict=True):
            given[index] = weight
        with deferring(taps) as rows:
            outputs = take_step(
                sequence._replace(weights=given), now._replace(inputs=inputs), others
            )
        return outputs, rows

    new, rows = backend.vjp(run, [t for part in parts for t in part], gradients)
    weights, (inputs,), carried, by_outputs = split(new)
    found = dict(zip(free, weights, strict=True))
    weights = [found.get(index) for index in range(len(sequence.weights))]
    factors = [Factors(*pair) for pair in zip(rows, by_outputs, strict=True)]
    return Gradients(weights, factors, inputs, carried)


def _splitter(parts: list[Tensors]) -> Callable[[Tensors], list[Tensors]]:
    """Return a function that splits a list into lists of the lengths of `parts`."""

    def split(tensors: Tensors) -> list[Tensors]:
        remaining = iter(tensors)
        return [[next(remaining) for _ in part] for part in parts]

    return split


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

    split_parts = _splitter(parts)

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
