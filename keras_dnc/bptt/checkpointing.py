"""Back-propagation that saves few large states and recomputes the others.

The large states of a dense memory are those that the `write` part of its step returns.
They are saved once per chunk of steps; `write` alone runs again to recompute them, from
the residuals of the step: the fields of the parts before it, and the controls it reads.
When the step is differentiated, every field is taken over from the first run.

Of any other cell every state is large, and the whole step runs again.
"""

from typing import Any

from keras import ops

from keras_dnc import backend
from keras_dnc.bptt.pure_cell import PureCell
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.residual_specs import large_states
from keras_dnc.bptt.residual_specs import residual_specs
from keras_dnc.bptt.scan import Gradients
from keras_dnc.bptt.scan import Sequence
from keras_dnc.bptt.scan import StepInputs
from keras_dnc.bptt.scan import StepSaved
from keras_dnc.ops.residuals import recording
from keras_dnc.ops.residuals import reusing
from keras_dnc.ops.rows import where_active
from keras_dnc.typing import Buffer, Fields, Tensor, Tensors


class Checkpointed:
    """The policy of any cell: save every state once per chunk, run the step again.

    Args:
        cell: `PureCell`.
    """

    def __init__(self, cell: PureCell) -> None:
        self._cell = cell

    def take_step(self, sequence: Sequence, now: StepInputs, state: Tensors) -> Tensors:
        """Return the new state."""
        new = self._cell.step(sequence, now.inputs, state)
        return where_all(now.active, new, state)

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; there are no residuals."""
        return self.take_step(sequence, now, state), []

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the cell's first state."""
        return self._cell.first_state(batch_size)

    def large(self, state: Tensors) -> Tensors:
        """Return all of the state."""
        return state

    def small(self, state: Tensors) -> Tensors:
        """Return nothing."""
        return []

    def joined(self, small: Tensors, large: Tensors) -> Tensors:
        """Return the state with these small and large tensors."""
        return large

    def residual_specs(self, state: Tensors) -> Tensors:
        """Return nothing."""
        return []

    def recompute(
        self, sequence: Sequence, saved: StepSaved, large: Tensors
    ) -> Tensors:
        """Take the step again."""
        return self.take_step(sequence, saved.now, large)

    def carried(self, state_gradient: Tensors) -> Tensors:
        """Return all of the gradient."""
        return state_gradient

    def uncarried(self, carried: Tensors) -> list[Tensor | None]:
        """Return all of the gradient."""
        return list(carried)

    def read_ahead(self, residuals: Tensors, carried: Tensors) -> Any:
        """Return nothing."""
        return []

    def differentiate(
        self,
        sequence: Sequence,
        saved: StepSaved,
        large: list[Buffer],
        place: Tensor,
        carried: Tensors,
    ) -> Gradients:
        """Back-propagate through one step, in which known values are reused."""
        count = len(sequence.weights)
        state = self.joined(saved.before, backend.read_all(large, place))
        known = self.known(saved, large, place)

        def take_step(tensors: Tensors) -> Tensors:
            given = sequence._replace(weights=tensors[:count])
            now = saved.now._replace(inputs=tensors[count])
            with reusing(known):
                return self.take_step(given, now, tensors[count + 1 :])

        tensors = [*sequence.weights, saved.now.inputs, *state]
        new = list(backend.vjp(take_step, tensors, carried))
        return Gradients(new[:count], new[count], new[count + 1 :])

    def known(self, saved: StepSaved, large: list[Buffer], place: Tensor) -> Fields:
        """Return the values that are reused when a step is differentiated."""
        return {}


class CheckpointedMemory(Checkpointed):
    """The policy of a dense memory: save its large states once per chunk.

    The state is the cell's own, without axes of size 1, for whose order XLA would copy
    whole tensors.

    Args:
        cell: `PureMemoryCell` of a cell with an `access`.
    """

    _cell: PureMemoryCell

    def __init__(self, cell: PureMemoryCell) -> None:
        super().__init__(cell)
        self._names = cell.cell.state_names
        self._large = large_states(cell.cell.access)
        known = {*self._names, *self._large}
        self._residuals = {
            name: tuple(spec.shape[1:])
            for name, spec in residual_specs(cell.cell.access).items()
            if name not in known
        }
        shapes = zip(self._names, cell.cell.flat_state_shapes, strict=True)
        self._shapes = {**dict(shapes), **self._residuals}

    def take_step(self, sequence: Sequence, now: StepInputs, state: Tensors) -> Tensors:
        """Return the new state."""
        new = squeezed(self._cell.step(sequence, now.inputs, state))
        return where_all(now.active, new, state)

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; return the new state and the residuals."""
        with recording() as kept:
            new = self.take_step(sequence, now, state)
        return new, [kept[name] for name in self._residuals]

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the cell's first state, squeezed."""
        return squeezed(super().first_state(batch_size))

    def large(self, state: Tensors) -> Tensors:
        """Return the states that `write` changes."""
        return [t for name, t in self._named(state) if name in self._large]

    def small(self, state: Tensors) -> Tensors:
        """Return all other states."""
        return [t for name, t in self._named(state) if name not in self._large]

    def joined(self, small: Tensors, large: Tensors) -> Tensors:
        """Return the state with these small and large tensors."""
        smalls, larges = iter(small), iter(large)
        is_large = [name in self._large for name in self._names]
        return [next(larges if large else smalls) for large in is_large]

    def _named(self, state: Tensors) -> Any:
        return zip(self._names, state, strict=True)

    def residual_specs(self, state: Tensors) -> Tensors:
        """Return zeros of the shapes of a step's residuals."""
        batch, dtype = ops.shape(state[0])[0], state[0].dtype
        shapes = self._residuals.values()
        return [ops.zeros((batch, *shape), dtype) for shape in shapes]

    def recompute(
        self, sequence: Sequence, saved: StepSaved, large: Tensors
    ) -> Tensors:
        """Run `write` again."""
        state = self._cell.named(self.joined(saved.before, large)).access
        fields = self._cell.run(
            sequence,
            saved.now.inputs,
            lambda _: self._cell.cell.access.rewrite(state, self._first_run(saved)),
        )
        new = squeezed([fields[n] for n in self._names if n in self._large])
        return where_all(saved.now.active, new, large)

    def known(self, saved: StepSaved, large: list[Buffer], place: Tensor) -> Fields:
        """Return every field of the step's first run."""
        names = [name for name in self._names if name in self._large]
        after = zip(names, backend.read_all(large, place + 1), strict=True)
        return {**self._first_run(saved), **self._shaped(dict(after))}

    def _first_run(self, saved: StepSaved) -> Fields:
        """Return small states and residuals of a step's first run, by name."""
        names = [name for name in self._names if name not in self._large]
        fields = dict(zip(names, saved.after, strict=True))
        fields |= zip(self._residuals, saved.residuals, strict=True)
        return self._shaped(fields)

    def _shaped(self, fields: Fields) -> Fields:
        return {n: ops.reshape(t, (-1, *self._shapes[n])) for n, t in fields.items()}


def squeezed(tensors: Tensors) -> Tensors:
    """Drop axes of size 1, for whose order XLA copies whole tensors.

    One axis stays beside the batch's: the first tensor is the layer's output.
    """
    shapes = [[size for size in tensor.shape[1:] if size != 1] for tensor in tensors]
    return [
        ops.reshape(tensor, (-1, *(shape or [1])))
        for tensor, shape in zip(tensors, shapes, strict=True)
    ]


def where_all(active: Tensor | None, new: Tensors, old: Tensors) -> Tensors:
    """Return `new` in the batch elements that are active, `old` in others."""
    return [where_active(active, a, b) for a, b in zip(new, old, strict=True)]
