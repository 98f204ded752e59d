"""Back-propagation through a sparse memory, of which a step touches a few rows.

Automatic differentiation keeps a copy of the memory for every step, and processes all
of it. Here the forward pass updates one memory in place, and saves the small states,
the slots that a step touches and the rows that it reads. The backward pass carries one
gradient with respect to the memory. At each step it gathers the rows of that gradient
that the step wrote, back-propagates through the step as a function of the rows that it
read, and adds the result to the gradient at those rows. The cost of a step does not
depend on the size of the memory.

Departures: Rae et al. 2016, section 3.4, restore the previous memory at each step of
the backward pass. This is not needed here, because the rows that were read are saved.
"""

import functools
from collections.abc import Callable
from itertools import compress
from typing import Any

from keras import ops
from keras import tree

from keras_dnc.bptt.policy import Gradients
from keras_dnc.bptt.policy import Policy
from keras_dnc.bptt.policy import SavedStep
from keras_dnc.bptt.policy import Sequence
from keras_dnc.bptt.policy import StepInputs
from keras_dnc.bptt.policy import step_gradients
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.residual_specs import step_specs
from keras_dnc.bptt.residual_specs import zero_residuals
from keras_dnc.cells.access import AccessStep
from keras_dnc.cells.memory_cell import CellStep
from keras_dnc.cells.row_access import RowAccess
from keras_dnc.ops.residuals import recording
from keras_dnc.ops.residuals import reusing
from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import where_active
from keras_dnc.ops.rows import where_all_active
from keras_dnc.typing import Buffer, Controls, Fields, State, Tensor, Tensors


class TouchedRows(Policy):
    """The policy of a sparse memory: save the rows that a step reads.

    The state is that of the cell, flat. Its tables are updated in place, and neither
    saved nor recomputed; all other tensors are small. The backward loop carries the
    gradients with respect to the small tensors and to the memory; the other tables have
    none.

    Args:
        cell: `PureMemoryCell` of a cell whose `access` is a `RowAccess`.
    """

    second_order = False  # the rows that were read depend on all steps before

    def __init__(self, cell: PureMemoryCell) -> None:
        self._cell = cell
        self._access: RowAccess = cell.cell.access
        self._specs, _, self.deferred = step_specs(cell)
        names = cell.cell.state_names
        self._is_table = [name in self._access.tables for name in names]
        self._memory = names.index("memory")

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the cell's first state."""
        return self._cell.first_state(batch_size)

    def advance(
        self, sequence: Sequence, now: StepInputs, state: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Take a step; return the new state and the residuals."""
        use_memory = functools.partial(self._access.step, active=now.active)
        with recording() as kept:
            new = tree.flatten(self._step(sequence, now, state, use_memory).state)
        small = where_all_active(now.active, self.small(new), self.small(state))
        tables = list(compress(new, self._is_table))
        return self._joined(small, tables), [kept[name] for name in self._specs]

    def _step(
        self,
        sequence: Sequence,
        now: StepInputs,
        state: list[Tensor | None],
        use_memory: Callable[[Controls, State], AccessStep],
    ) -> CellStep:
        """Take a step of the cell with a given function for the memory."""
        named, cell = self._cell.named(state), self._cell.cell
        return self._cell.run(
            sequence,
            now.inputs,
            lambda inputs: cell.step_with(use_memory, inputs, named),
        )

    def small(self, state: Tensors) -> Tensors:
        """Return all states except the tables."""
        return [t for t, table in zip(state, self._is_table, strict=True) if not table]

    def _joined(self, small: Tensors, tables: list[Any]) -> list[Any]:
        """Return the state with these small tensors and tables."""
        smalls, found = iter(small), iter(tables)
        return [next(found if is_table else smalls) for is_table in self._is_table]

    def zero_residuals(self, state: Tensors) -> Tensors:
        """Return zeros with the shapes and dtypes of the residuals of a step."""
        return zero_residuals(self._specs, ops.shape(state[0])[0])

    def carried_gradients(self, gradients: Tensors) -> Tensors:
        """Return the gradients of the small tensors, and then that of the memory."""
        return [*self.small(gradients), gradients[self._memory]]

    def state_gradients(self, carried: Tensors) -> list[Tensor | None]:
        """Return the carried gradients in the order of the state, `None` for others."""
        *small, memory = carried
        gradients = self._joined(small, [None] * sum(self._is_table))
        gradients[self._memory] = memory
        return gradients

    def read_ahead(self, residuals: Tensors, carried: Tensors) -> Tensor:
        """Return the rows of the memory's gradient that the next step wrote.

        They are read one iteration early, before the gradient is updated: XLA updates
        it in place only if no other operation reads it at the same time.
        """
        slots = dict(zip(self._specs, residuals, strict=True))["write_slots"]
        return gather_rows(carried[-1], slots)

    def differentiate(
        self,
        sequence: Sequence,
        saved: SavedStep,
        buffers: list[Buffer],
        position: Tensor,
        carried: Tensors,
    ) -> Gradients:
        """Back-propagate through one step, as a function of the rows that it read."""
        kept = dict(zip(self._specs, saved.residuals, strict=True))

        def take_step(sequence: Sequence, now: StepInputs, others: Tensors) -> Tensors:
            *small, before = others
            return self._on_rows(sequence, now, small, kept, before)

        # The rows before the step are not saved, and those after it take their place.
        # The gradient does not depend on these values: the rows after the step are
        # linear in the rows before it, and are themselves reused.
        others = [*saved.small_before, kept["words"]]
        gradients = [*carried[:-1], saved.ahead]
        new = step_gradients(
            take_step, sequence, saved.now, others, gradients, self.deferred
        )
        *small, by_rows = new.carried
        memory = self._memory_gradient(carried[-1], kept, by_rows, saved.now.active)
        return new._replace(carried=[*small, memory])

    def _on_rows(
        self,
        sequence: Sequence,
        now: StepInputs,
        small: Tensors,
        kept: Fields,
        before: Tensor,
    ) -> Tensors:
        """Return the new small tensors, and the additions to the written rows.

        Args:
            sequence: `Sequence`.
            now: `StepInputs` of the step.
            small: Small tensors of the state before the step.
            kept: Dict of the residuals of the step.
            before: `(batch, reads, word_size)`, the rows before the step.
        """
        use_memory = functools.partial(
            self._access.step_on_rows, kept=kept, before=before
        )
        state = self._joined(small, [None] * sum(self._is_table))
        with reusing(kept):
            step = self._step(sequence, now, state, use_memory)
        additions = step.found["additions"]
        none = ops.zeros_like(additions)
        return [
            *where_all_active(now.active, self.small(tree.flatten(step.state)), small),
            where_active(now.active, additions, none),
        ]

    @staticmethod
    def _memory_gradient(
        gradient: Tensor, kept: Fields, by_rows: Tensor, active: Tensor | None
    ) -> Tensor:
        """Return the gradient with respect to the memory before a step.

        Args:
            gradient: Gradient with respect to the memory after the step.
            kept: Dict of the residuals of the step.
            by_rows: `(batch, reads, word_size)`, the gradient with respect to the rows
                at the candidates before the step.
            active: Booleans `(batch,)`, the batch elements that take the step; `None`
                for all.
        """
        # The erased row gets gradient 0, and an addition of 0.
        slots = ops.concatenate([kept["candidates"], kept["erased_slot"]], axis=1)
        by_rows = ops.pad(by_rows, [(0, 0), (0, 1), (0, 0)])
        return add_to_rows(gradient, slots, kept["erased_slot"], by_rows, active)[0]
