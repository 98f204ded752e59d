"""The interface of the policies of back-propagation, and the tensors they work with.

A `Policy` determines which tensors of a step the forward pass saves, and how the
backward pass differentiates the step. `checkpointing` has the policies of dense
memories and of any Keras cell, `touched_rows` that of sparse memories. `scan` has the
loops over time, which are the same for every policy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_dnc import backend
from keras_dnc.bptt.deferred import Deferred
from keras_dnc.bptt.deferred import Factors
from keras_dnc.bptt.deferred import at_every_step
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
    split = splitter(parts)

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


def splitter(parts: list[Tensors]) -> Callable[[Tensors], list[Tensors]]:
    """Return a function that splits a list into lists of the lengths of `parts`.

    Args:
        parts: Lists of tensors.
    """

    def split(tensors: Tensors) -> list[Tensors]:
        remaining = iter(tensors)
        return [[next(remaining) for _ in part] for part in parts]

    return split
