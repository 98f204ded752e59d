"""What a step of the DNC's memory is asked, what it carries on, and what it notes."""

from typing import Any
from typing import NamedTuple


class MemoryAccessState(NamedTuple):
    """The memory and all that addressing remembers of it.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, in [0, 1].
        link: `(batch, num_writes, memory_size, memory_size)`, in [0, 1], zero diagonal;
            with `link_sparsity`, a `SparseLink`.
        precedence_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to at most 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """

    memory: Any
    usage: Any
    link: Any
    precedence_weights: Any
    read_weights: Any
    write_weights: Any


NOTHING_RECORDED = MemoryAccessState(*[None] * len(MemoryAccessState._fields))


class AccessControls(NamedTuple):
    """What the controller asks of the memory in one step.

    Attributes:
        write_vectors: `(batch, num_writes, word_size)`, what to add.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1], what to wipe first.
        free_gate: `(batch, num_reads)`, in [0, 1]: how far the slots that each head
            has just read may be reused.
        allocation_gate: `(batch, num_writes)`, in [0, 1]: write to free slots (1) or
            by content (0).
        write_gate: `(batch, num_writes)`, in [0, 1]: write at all.
        read_mode: `(batch, num_reads, 2 * num_writes + 1)`, sums to 1 over its columns
            backward (one per write head), forward (one per write head), content;
            `None` without links.
        write_keys: `(batch, num_writes, word_size)`.
        write_strengths: `(batch, num_writes)`, before squashing.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`, before squashing.
        write_masks: `(batch, num_writes, word_size)`, in [`mask_floor`, 1], with
            `masked_content`; else `None`.
        read_masks: `(batch, num_reads, word_size)`, as `write_masks`.
        link_sharpness: `(batch, num_reads, 2 * num_writes)`, before squashing, columns
            as in `read_mode`, with `link_sharpness`; else `None`.
    """

    write_vectors: Any
    erase_vectors: Any
    free_gate: Any
    allocation_gate: Any
    write_gate: Any
    read_mode: Any
    write_keys: Any
    write_strengths: Any
    read_keys: Any
    read_strengths: Any
    write_masks: Any = None
    read_masks: Any = None
    link_sharpness: Any = None


NO_CONTROLS = AccessControls(*[None] * len(AccessControls._fields))


class AccessNotes(NamedTuple):
    """What back-propagation takes over from a step instead of computing it again.

    Attributes:
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1].
        write_vectors: `(batch, num_writes, word_size)`.
        free_gate: `(batch, num_reads)`, in [0, 1].
        products: `(batch, num_writes, memory_size)`, of `Freeness.allocate`.
    """

    erase_vectors: Any
    write_vectors: Any
    free_gate: Any
    products: Any
