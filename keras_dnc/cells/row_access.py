"""The contract of a sparse memory: select rows, then compute with those rows only.

A step of a sparse memory reads and writes a few rows. It selects them without a
gradient, from all of the memory or from an index of it, and then computes with the
selected rows. `RowAccess` separates the two.
"""

from typing import Any, NamedTuple

from keras import ops
from keras import tree

from keras_dnc.cells.access import AccessStep
from keras_dnc.cells.access import BaseAccess
from keras_dnc.ops import residuals
from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import matches
from keras_dnc.typing import Controls, Fields, State, Tensor


class WriteRows(NamedTuple):
    """The rows that a step writes.

    Attributes:
        write_slots: `(batch, writes)`, slots to add to; they may repeat.
        erased_slot: `(batch, 1)`, the slot to erase first, one of `write_slots`.
    """

    write_slots: Tensor
    erased_slot: Tensor


class ReadRows(NamedTuple):
    """The rows that a step may read, after it has written.

    Attributes:
        candidates: `(batch, reads)`, slots; they may repeat.
        found: `(batch, num_reads, top_k)`, 1 for a slot that the search found, else 0.
    """

    candidates: Tensor
    found: Tensor


class Written(NamedTuple):
    """The result of writing.

    Attributes:
        slots: `(batch, writes)`; the weights of repeated slots add up.
        weights: `(batch, writes)`, write weights.
        before: `(batch, writes, word_size)`, the rows before the step.
        after: `(batch, writes, word_size)`, the rows after it.
    """

    slots: Tensor
    weights: Tensor
    before: Tensor
    after: Tensor


class RowAccess(BaseAccess):
    """Base of the sparse memories: a step reads and writes a few rows.

    A subclass has the properties `state_shapes`, `control_shapes` and `tables`, and the
    methods `select_writes`, `write`, `select_reads` and `read`. It calls
    `create_interface` at the end of its constructor.

    `select_writes` and `select_reads` select the rows of a step, without a gradient.
    `write` and `read` compute with those rows, and must not use the states in `tables`.
    `index` and `finish` update the tables other than the memory.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the output of the controller.
        state: The previous state, a NamedTuple with the fields of `state_shapes`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new state.

    Raises:
        ValueError: If a size is not a positive integer, or if a call argument has the
            wrong shape.

    Attributes:
        read_rows_type: NamedTuple class of the result of `select_reads`, whose first
            field is `candidates`.
    """

    read_rows_type: Any = ReadRows

    @property
    def tables(self) -> list[str]:
        """Names of the states that are updated in place, `"memory"` first."""
        raise NotImplementedError

    def select_writes(self, state: State) -> WriteRows:
        """Select the rows to write.

        Args:
            state: NamedTuple of the previous state.
        """
        raise NotImplementedError

    def write(
        self, controls: Controls, state: State, rows: WriteRows
    ) -> tuple[Tensor, Tensor]:
        """Compute the write weights and the additions to rows.

        Args:
            controls: NamedTuple of the controls.
            state: NamedTuple of the previous state; its tables must not be used.
            rows: The result of `select_writes`.

        Returns:
            `(weights, additions)`: `(batch, writes)`, and `(batch, writes, word_size)`
            to add to the rows at `rows.write_slots`.
        """
        raise NotImplementedError

    def index(self, state: State, written: Written, active: Tensor | None) -> State:
        """Update the tables that index the memory, after writing.

        Args:
            state: NamedTuple of the previous state, with the new memory.
            written: The result of writing.
            active: Booleans `(batch,)`, the batch elements that take the step; `None`
                for all.

        Returns:
            The state with new tables.
        """
        return state

    def select_reads(self, controls: Controls, state: State) -> Any:
        """Select the rows to read.

        Args:
            controls: NamedTuple of the controls.
            state: NamedTuple of the previous state, with the new tables.

        Returns:
            A `read_rows_type`.
        """
        raise NotImplementedError

    def read(
        self, controls: Controls, state: State, rows: Any, words: Tensor
    ) -> Fields:
        """Compute the read weights, and read.

        Args:
            controls: NamedTuple of the controls.
            state: NamedTuple of the previous state; its tables must not be used.
            rows: The result of `select_reads`.
            words: `(batch, reads, word_size)`, the memory at `rows.candidates`.

        Returns:
            Dict of fields: `read_words`, and new states by name.
        """
        raise NotImplementedError

    def finish(self, state: State, written: Written, active: Tensor | None) -> State:
        """Update the tables that depend on reading, at the end of a step.

        Args:
            state: NamedTuple of the state after reading.
            written: The result of writing.
            active: Booleans `(batch,)`, the batch elements that take the step; `None`
                for all.

        Returns:
            The state after the step.
        """
        return state

    def step(
        self, controls: Controls, state: State, active: Tensor | None = None
    ) -> AccessStep:
        """Select rows and write them, then select rows and read them.

        Args:
            controls: The controls, from the method `controls`.
            state: The previous state, a NamedTuple with the fields of `state_shapes`.
            active: Booleans `(batch,)`, the batch elements that take the step; the
                tables of others do not change. `None` for all. Defaults to `None`.

        Returns:
            An `AccessStep`.
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
        """Take a step again, as a function of the rows that it reads.

        Args:
            controls: The controls, from the method `controls`.
            state: The previous state, `None` in place of its tables.
            kept: Dict of the residuals of the same step in `step`.
            before: `(batch, reads, word_size)`, the memory at the residual
                `candidates`, before the step.

        Returns:
            An `AccessStep` whose tables are `None`, and whose `found` has `additions`,
            `(batch, writes, word_size)`, to the rows at the residual `write_slots`.
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
    """Compute rows after a step has written, from the rows before it.

    Args:
        before: `(batch, reads, word_size)`, rows at `candidates`.
        rows: `WriteRows` of the step.
        candidates: `(batch, reads)`, slots.
        additions: `(batch, writes, word_size)`, to add at `rows.write_slots`.

    Returns:
        `(batch, reads, word_size)`.
    """
    kept = 1.0 - matches(candidates, rows.erased_slot, before.dtype)
    added = matches(candidates, rows.write_slots, before.dtype)
    return kept * before + ops.matmul(added, additions)


def _kept(rows: Any) -> Any:
    """Name each field of a NamedTuple of tensors as a residual, and return it."""
    return type(rows)(*residuals.keep(list(rows._fields), list(rows)))
