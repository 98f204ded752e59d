"""Back-propagation that saves few large states and recomputes the others.

The large states of a dense memory are those that the `write` part of its step returns.
They are saved once per chunk of steps. To recompute the others, only `write` runs
again, from residuals of the step: the fields of the parts before `write`, and the
controls that `write` reads. When the step is differentiated, all its fields are reused
from the first run.

For any other cell, every state is large, and the whole step runs again.
"""

import functools
from collections.abc import Callable
from itertools import compress
from typing import Any

from keras import ops

from keras_dnc import backend
from keras_dnc.bptt.policy import Gradients
from keras_dnc.bptt.policy import Policy
from keras_dnc.bptt.policy import SavedStep
from keras_dnc.bptt.policy import Sequence
from keras_dnc.bptt.policy import StepInputs
from keras_dnc.bptt.policy import step_gradients
from keras_dnc.bptt.pure_cell import PureCell
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.residual_specs import step_specs
from keras_dnc.bptt.residual_specs import zero_residuals
from keras_dnc.ops.residuals import recording
from keras_dnc.ops.residuals import reusing
from keras_dnc.ops.rows import where_all_active
from keras_dnc.typing import Buffer, Fields, Tensor, Tensors


class Checkpointed(Policy):
    """The policy of any cell: save every state once per chunk, and take steps again.

    Args:
        cell: `PureCell`.
    """

    def __init__(self, cell: PureCell) -> None:
        self._cell = cell
        self._gradients: Callable[..., Gradients] = self._step_gradients

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the cell's first state."""
        return self._cell.first_state(batch_size)

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; there are no residuals."""
        return self._take_step(sequence, now, state), []

    def _take_step(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> Tensors:
        """Return the new state."""
        new = self._cell.step(sequence, now.inputs, state)
        return where_all_active(now.active, new, state)

    def large(self, state: Tensors) -> Tensors:
        """Return the whole state."""
        return state

    def _joined(self, small: Tensors, large: Tensors) -> Tensors:
        """Return the state with these small and large tensors."""
        return large

    def recompute(
        self, sequence: Sequence, saved: SavedStep, large: Tensors
    ) -> Tensors:
        """Take the step again."""
        return self._take_step(sequence, saved.now, large)

    def differentiate(
        self,
        sequence: Sequence,
        saved: SavedStep,
        buffers: list[Buffer],
        position: Tensor,
        carried: Tensors,
    ) -> Gradients:
        """Back-propagate through one step, and reuse the values of its first run."""
        before = backend.read_all(buffers, position)
        after = backend.read_all(buffers, position + 1)
        return self._gradients(sequence, saved, before, after, carried)

    def _step_gradients(
        self,
        sequence: Sequence,
        saved: SavedStep,
        before: Tensors,
        after: Tensors,
        carried: Tensors,
    ) -> Gradients:
        """Return the gradients of one step.

        Args:
            sequence: `Sequence`.
            saved: `SavedStep` of the step.
            before: Large tensors before the step.
            after: Large tensors after the step.
            carried: Gradients with respect to the state after the step.
        """
        state = self._joined(saved.small_before, before)
        first_run = self._first_run(saved, after)

        def take_step(sequence: Sequence, now: StepInputs, state: Tensors) -> Tensors:
            with reusing(first_run):
                return self._take_step(sequence, now, state)

        return step_gradients(
            take_step, sequence, saved.now, state, carried, self.deferred
        )

    def _first_run(self, saved: SavedStep, after: Tensors) -> Fields:
        """Return the values of a step's first run that are reused, by name."""
        return {}


class CheckpointedMemory(Checkpointed):
    """The policy of a dense memory: save its large states once per chunk.

    The state is that of the cell, without axes of size 1: XLA may choose another order
    of axes for such tensors, and copy them.

    Args:
        cell: `PureMemoryCell` of a cell whose `access` is an `Access`.
        keeps_all: Whether to save the large states at every step, like the small ones,
            and recompute nothing. Defaults to `False`.
    """

    _cell: PureMemoryCell

    def __init__(self, cell: PureMemoryCell, keeps_all: bool = False) -> None:
        super().__init__(cell)
        residuals, large, self.deferred = step_specs(cell)
        large = {} if keeps_all else large
        names = cell.cell.state_names
        self._is_large = [name in large for name in names]
        self._large_names = [name for name in names if name in large]
        self._small_names = [name for name in names if name not in large]
        # Fields that are states, or that `write` returns, are not saved a second time.
        self._residuals = {
            name: spec
            for name, spec in residuals.items()
            if name not in names and name not in large
        }
        self._shapes = {
            **dict(zip(names, cell.cell.flat_state_shapes, strict=True)),
            **{name: spec.shape[1:] for name, spec in self._residuals.items()},
        }
        self._traced_step = self._traced(self._step_with_residuals)
        self._traced_rewrite = self._traced(self._rewrite)
        self._gradients = self._traced(self._step_gradients)

    def _traced(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method of a sequence, a saved step and lists, traced on PyTorch."""
        on_lists = functools.partial(_call_on_lists, method)
        run = self._cell.traced(method.__name__, on_lists)

        def on_step(sequence: Sequence, saved: SavedStep, *others: Tensors) -> Any:
            now, small = saved.now, (saved.small_before, saved.small_after)
            given = sequence.weights, sequence.constants, [now.inputs], now.mask
            return run(*given, *small, saved.residuals, *others)

        return on_step

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the cell's first state, without axes of size 1."""
        return _squeezed(super().first_state(batch_size))

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; return the new state and the residuals."""
        nothing_saved = SavedStep(now, [], [], [], [])
        return self._traced_step(sequence, nothing_saved, state)

    def _step_with_residuals(
        self, sequence: Sequence, saved: SavedStep, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Return the state after a step, and its residuals."""
        with recording() as kept:
            new = self._take_step(sequence, saved.now, state)
        return new, [kept[name] for name in self._residuals]

    def _take_step(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> Tensors:
        """Return the new state, without axes of size 1."""
        new = _squeezed(self._cell.step(sequence, now.inputs, state))
        return where_all_active(now.active, new, state)

    def large(self, state: Tensors) -> Tensors:
        """Return the states that `write` returns."""
        return list(compress(state, self._is_large))

    def small(self, state: Tensors) -> Tensors:
        """Return all other states."""
        return [t for t, large in zip(state, self._is_large, strict=True) if not large]

    def _joined(self, small: Tensors, large: Tensors) -> Tensors:
        """Return the state with these small and large tensors."""
        smalls, larges = iter(small), iter(large)
        return [next(larges if is_large else smalls) for is_large in self._is_large]

    def zero_residuals(self, state: Tensors) -> Tensors:
        """Return zeros with the shapes and dtypes of the residuals of a step."""
        return zero_residuals(self._residuals, ops.shape(state[0])[0])

    def recompute(
        self, sequence: Sequence, saved: SavedStep, large: Tensors
    ) -> Tensors:
        """Run `write` again."""
        return self._traced_rewrite(sequence, saved, large)

    def _rewrite(self, sequence: Sequence, saved: SavedStep, large: Tensors) -> Tensors:
        """Return the large states after a step from its residuals."""
        state = self._cell.named(self._joined(saved.small_before, large)).access
        fields = self._cell.run(
            sequence,
            saved.now.inputs,
            lambda _: self._cell.cell.access.rewrite(state, self._saved_fields(saved)),
        )
        new = _squeezed([fields[name] for name in self._large_names])
        return where_all_active(saved.now.active, new, large)

    def _first_run(self, saved: SavedStep, after: Tensors) -> Fields:
        """Return every state and residual of a step's first run, by name."""
        large_fields = dict(zip(self._large_names, after, strict=True))
        return {**self._saved_fields(saved), **self._shaped(large_fields)}

    def _saved_fields(self, saved: SavedStep) -> Fields:
        """Return the small states and residuals of a step's first run, by name."""
        fields = dict(zip(self._small_names, saved.small_after, strict=True))
        fields |= zip(self._residuals, saved.residuals, strict=True)
        return self._shaped(fields)

    def _shaped(self, fields: Fields) -> Fields:
        """Restore the axes of size 1."""
        return {n: ops.reshape(t, (-1, *self._shapes[n])) for n, t in fields.items()}


def _call_on_lists(
    method: Callable[..., Any],
    weights: Tensors,
    constants: Tensors,
    inputs: Tensors,
    mask: Tensors,
    small_before: Tensors,
    small_after: Tensors,
    residuals: Tensors,
    *others: Tensors,
) -> Any:
    """Call a method of a sequence, a saved step and lists with what they consist of."""
    sequence = Sequence(weights, None, constants, [])
    now = StepInputs(inputs[0], mask)
    saved = SavedStep(now, small_before, small_after, residuals, [])
    return method(sequence, saved, *others)


def _squeezed(tensors: Tensors) -> Tensors:
    """Remove axes of size 1, so that XLA does not copy tensors to reorder their axes.

    One axis remains after that of the batch, because the first tensor is the output. On
    PyTorch, nothing is removed.
    """
    if backend.is_eager():
        return tensors
    shapes = [[size for size in tensor.shape[1:] if size != 1] for tensor in tensors]
    return [
        ops.reshape(tensor, (-1, *(shape or [1])))
        for tensor, shape in zip(tensors, shapes, strict=True)
    ]
