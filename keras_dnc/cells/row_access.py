"""The contract of a sparse memory: select rows, then compute with them alone.

A step of a sparse memory touches a few rows. Which ones is decided without a gradient,
by looking at all of the memory or at an index of it; the numbers are then computed from
those rows. `RowAccess` keeps the two apart.
"""

from typing import Any
from typing import NamedTuple

from keras import ops
from keras import tree

from keras_dnc.cells.access import Access
from keras_dnc.cells.access import AccessStep
from keras_dnc.ops import residuals
from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import matches
from keras_dnc.typing import Controls
from keras_dnc.typing import Fields
from keras_dnc.typing import State
from keras_dnc.typing import Tensor


class WriteRows(NamedTuple):
    """The rows that a step writes.

    Attributes:
        write_slots: `(batch, writes)`, slots that are added to; they may repeat.
        erased_slot: `(batch, 1)`, the slot erased before that, one of `write_slots`.
    """

    write_slots: Tensor
    erased_slot: Tensor


class ReadRows(NamedTuple):
    """The rows that a step may read, after its writing.

    Attributes:
        candidates: `(batch, reads)`, slots; they may repeat.
        found: `(batch, num_reads, top_k)`, 1 where the search found a slot, else 0.
    """

    candidates: Tensor
    found: Tensor


class Written(NamedTuple):
    """What a step has written.

    Attributes:
        slots: `(batch, writes)`; they may repeat, and their weights add up.
        weights: `(batch, writes)`.
        before: `(batch, writes, word_size)`, the rows before the step.
        after: `(batch, writes, word_size)`, the rows after it.
    """

    slots: Tensor
    weights: Tensor
    before: Tensor
    after: Tensor


class RowAccess(Access):
    """Base of the memories of which a step reads and writes a few rows.

    A subclass has `state_shapes`, `control_shapes` and `tables`, and the methods below.
    `select_writes` and `select_reads` say which rows a step touches, and have no
    gradient; `write` and `read` compute with those rows, and may use no state in
    `tables`. `index` and `finish` update the tables beside the memory.

    Attributes:
        read_rows_type: NamedTuple of what `select_reads` returns; its first field is
            `candidates`.
    """

    read_rows_type: Any = ReadRows

    @property
    def tables(self) -> list[str]:
        """Names of the states that are edited in place, `"memory"` first."""
        raise NotImplementedError

    def select_writes(self, state: State) -> WriteRows:
        """Select the rows to write."""
        raise NotImplementedError

    def write(self, controls: Controls, state: State, rows: WriteRows) -> Any:
        """Compute what to write.

        Returns:
            `(weights, additions)`: `(batch, writes)`, and `(batch, writes, word_size)`
            that is added to the rows at `rows.write_slots`.
        """
        raise NotImplementedError

    def index(self, state: State, written: Written, active: Tensor | None) -> State:
        """Return the state with its tables brought up to date with the memory."""
        return state

    def select_reads(self, controls: Controls, state: State) -> Any:
        """Select the rows to read from, a `read_rows_type`."""
        raise NotImplementedError

    def read(
        self, controls: Controls, state: State, rows: Any, words: Tensor
    ) -> Fields:
        """Read from rows.

        Args:
            controls: The controls.
            state: The state before the step; its tables must not be used.
            rows: What `select_reads` has returned.
            words: `(batch, reads, word_size)`, the memory at `rows.candidates`.

        Returns:
            Dict of fields: `read_words`, and new states by their names.
        """
        raise NotImplementedError

    def finish(self, state: State, written: Written, active: Tensor | None) -> State:
        """Return the state after the step, from that after reading."""
        return state

    def step(
        self, controls: Controls, state: State, active: Tensor | None = None
    ) -> AccessStep:
        """Select, write, select, read.

        Args:
            controls: What `controls` returns.
            state: The previous state, as `state_shapes`.
            active: `(batch,)`, the batch elements that take the step; the tables stay
                as they are in others. `None` for all.
        """
        rows = _kept(self.select_writes(state))
        weights, additions = self.write(controls, state, rows)
        memory, before, after = add_to_rows(
            state.memory, rows.write_slots, rows.erased_slot, additions, active
        )
        written = Written(rows.write_slots, weights, before, after)
        new = self.index(state._replace(memory=memory), written, active)
        reads = _kept(self.select_reads(controls, new))
        (words,) = residuals.keep(["words"], [gather_rows(memory, reads.candidates)])
        fields = self.read(controls, state, reads, words)
        read_words = fields.pop("read_words")
        new = self.finish(new._replace(**fields), written, active)
        found = {"write_slots": rows.write_slots[:, None]}
        return AccessStep(read_words, new, {**found, "write_weights": weights[:, None]})

    def step_on_rows(
        self, controls: Controls, state: State, kept: Fields, before: Tensor
    ) -> AccessStep:
        """Take a step as a function of the rows that it reads.

        Args:
            controls: What `controls` returns.
            state: The previous state, `None` in place of its tables.
            kept: The residuals of the same step of `step`.
            before: `(batch, reads, word_size)`, the memory at its `candidates`, before
                the step.

        Returns:
            An `AccessStep` whose tables are `None`; it has found the `additions` to the
            memory's rows at its `write_slots`.
        """
        rows = WriteRows(*map(kept.get, WriteRows._fields))
        reads = self.read_rows_type(*map(kept.get, self.read_rows_type._fields))
        _, additions = self.write(controls, state, rows)
        after = rows_after(before, rows, reads.candidates, additions)
        (words,) = residuals.keep(["words"], [after])
        fields = self.read(controls, state, reads, words)
        read_words = fields.pop("read_words")
        unread = tree.map_structure(
            lambda part: None if part is None else ops.stop_gradient(part), state
        )
        new = unread._replace(**fields)
        return AccessStep(read_words, new, {"additions": additions})


def rows_after(
    before: Tensor, rows: WriteRows, candidates: Tensor, additions: Tensor
) -> Tensor:
    """Return rows after a step has written, from the rows before it.

    Args:
        before: `(batch, reads, word_size)`, rows at `candidates`.
        rows: `WriteRows`.
        candidates: `(batch, reads)`, slots.
        additions: `(batch, writes, word_size)`, added at `rows.write_slots`.
    """
    kept = 1.0 - matches(candidates, rows.erased_slot, before.dtype)
    added = matches(candidates, rows.write_slots, before.dtype)
    return kept * before + ops.matmul(added, additions)


def _kept(rows: Any) -> Any:
    """Return a NamedTuple of tensors, each named as a residual."""
    return type(rows)(*residuals.keep(list(rows._fields), list(rows)))
