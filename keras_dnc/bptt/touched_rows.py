"""Back-propagation through a sparse memory, of which a step touches a few rows.

Automatic differentiation keeps a copy of the memory for every step, and passes over all
of it. Here the forward pass edits one memory in place, and saves the small states, the
slots that a step touched and the rows that it read there. The backward pass carries one
gradient of the memory. At each step it gathers that gradient's rows where the step has
written, back-propagates through the step as a function of the rows that it read, and
adds the result to the rows it read. No step costs more for a larger memory. It is the
scheme of Rae et al. 2016, section 3.4, which rolls the memory itself back; the rows
that were read, saved, make that needless.
"""

import functools
from collections.abc import Callable
from typing import Any

from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.bptt.checkpointing import where_all
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.residual_specs import residual_specs
from keras_dnc.bptt.scan import Gradients
from keras_dnc.bptt.scan import Sequence
from keras_dnc.bptt.scan import StepInputs
from keras_dnc.bptt.scan import StepSaved
from keras_dnc.cells.access import AccessStep
from keras_dnc.cells.memory_cell import CellStep
from keras_dnc.cells.row_access import RowAccess
from keras_dnc.ops.residuals import recording
from keras_dnc.ops.residuals import reusing
from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import where_active
from keras_dnc.typing import Buffer, Controls, Fields, State, Tensor, Tensors


class TouchedRows:
    """The policy of a sparse memory: save the rows that a step reads.

    The state is the cell's own, flat. The backward loop carries the gradients of its
    small tensors and of the memory; other tables have none.

    Args:
        cell: `PureMemoryCell` of a cell whose `access` is a `RowAccess`.
    """

    def __init__(self, cell: PureMemoryCell) -> None:
        self._cell = cell
        self._access: RowAccess = cell.cell.access
        self._specs = residual_specs(self._access)
        names = cell.cell.state_names
        self._is_table = [name in self._access.tables for name in names]
        self._memory = names.index("memory")

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; return the new state and the residuals."""
        use_memory = functools.partial(self._access.step, active=now.active)
        with recording() as kept:
            new = tree.flatten(self._step(sequence, now, state, use_memory).state)
        small = where_all(now.active, self.small(new), self.small(state))
        tables = [
            t for t, is_table in zip(new, self._is_table, strict=True) if is_table
        ]
        return self._joined(small, tables), [kept[name] for name in self._specs]

    def _step(
        self,
        sequence: Sequence,
        now: StepInputs,
        state: list[Tensor | None],
        use_memory: Callable[[Controls, State], AccessStep],
    ) -> CellStep:
        named, cell = self._cell.named(state), self._cell.cell
        return self._cell.run(
            sequence,
            now.inputs,
            lambda inputs: cell.step_with(use_memory, inputs, named),
        )

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the cell's first state."""
        return self._cell.first_state(batch_size)

    def large(self, state: Tensors) -> Tensors:
        """Return nothing: no state is recomputed."""
        return []

    def small(self, state: Tensors) -> Tensors:
        """Return all states but the tables."""
        return [t for t, table in zip(state, self._is_table, strict=True) if not table]

    def _joined(self, small: Tensors, tables: list[Any]) -> list[Any]:
        """Return the state with these small tensors and tables."""
        smalls, found = iter(small), iter(tables)
        return [next(found if is_table else smalls) for is_table in self._is_table]

    def residual_specs(self, state: Tensors) -> Tensors:
        """Return zeros of the shapes of a step's residuals."""
        batch = ops.shape(state[0])[0]
        return [
            ops.zeros((batch, *spec.shape[1:]), spec.dtype)
            for spec in self._specs.values()
        ]

    def recompute(
        self, sequence: Sequence, saved: StepSaved, large: Tensors
    ) -> Tensors:
        """Return nothing."""
        return []

    def carried(self, state_gradient: Tensors) -> Tensors:
        """Return the gradients of the small tensors, and then of the memory."""
        return [*self.small(state_gradient), state_gradient[self._memory]]

    def uncarried(self, carried: Tensors) -> list[Tensor | None]:
        """Return the carried gradients at their places, `None` for other tables."""
        *small, memory = carried
        gradient = self._joined(small, [None] * sum(self._is_table))
        gradient[self._memory] = memory
        return gradient

    def read_ahead(self, residuals: Tensors, carried: Tensors) -> Tensor:
        """Return the memory's gradient where the step that comes next has written.

        Read before that step changes the gradient: XLA edits it in place where nothing
        reads it at the same time.
        """
        slots = dict(zip(self._specs, residuals, strict=True))["write_slots"]
        return gather_rows(carried[-1], slots)

    def differentiate(
        self,
        sequence: Sequence,
        saved: StepSaved,
        large: list[Buffer],
        place: Tensor,
        carried: Tensors,
    ) -> Gradients:
        """Back-propagate through one step, as a function of the rows that it read."""
        count = len(sequence.weights)
        kept = dict(zip(self._specs, saved.residuals, strict=True))

        def take_step(tensors: Tensors) -> Tensors:
            given = sequence._replace(weights=tensors[:count])
            now = saved.now._replace(inputs=tensors[count])
            return self._on_rows(given, now, tensors[count + 1 : -1], kept, tensors[-1])

        # The step is linear in the rows before it, so that those after it serve.
        tensors = [*sequence.weights, saved.now.inputs, *saved.before, kept["words"]]
        new = backend.vjp(take_step, tensors, [*carried[:-1], saved.extra])
        memory = self._memory_gradient(carried[-1], kept, new[-1], saved.now.active)
        return Gradients(new[:count], new[count], [*new[count + 1 : -1], memory])

    def _on_rows(
        self,
        sequence: Sequence,
        now: StepInputs,
        small: Tensors,
        kept: Fields,
        before: Tensor,
    ) -> Tensors:
        """Return the new small tensors, and the additions to the rows written."""
        use_memory = functools.partial(
            self._access.step_on_rows, kept=kept, before=before
        )
        state = self._joined(small, [None] * sum(self._is_table))
        with reusing(kept):
            step = self._step(sequence, now, state, use_memory)
        additions = step.found["additions"]
        none = ops.zeros_like(additions)
        return [
            *where_all(now.active, self.small(tree.flatten(step.state)), small),
            where_active(now.active, additions, none),
        ]

    @staticmethod
    def _memory_gradient(
        gradient: Tensor, kept: Fields, by_rows: Tensor, active: Tensor | None
    ) -> Tensor:
        """Return the memory's gradient before a step, from that after it."""
        slots = ops.concatenate([kept["candidates"], kept["erased_slot"]], axis=1)
        by_rows = ops.pad(by_rows, [(0, 0), (0, 1), (0, 0)])
        return add_to_rows(gradient, slots, kept["erased_slot"], by_rows, active)[0]
