"""The states and the controls of the DNC's memory."""

from typing import NamedTuple

from keras_dnc.typing import Tensor


class ContentAccessState(NamedTuple):
    """The state of a memory without links.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, in [0, 1].
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """

    memory: Tensor
    usage: Tensor
    read_weights: Tensor
    write_weights: Tensor


class MemoryAccessState(NamedTuple):
    """The state of a memory with links.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, in [0, 1].
        link: `(batch, num_writes, memory_size, memory_size)`, in [0, 1], zero diagonal;
            with `link_top_k`, a `SparseLink`.
        precedence_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to at most 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """

    memory: Tensor
    usage: Tensor
    link: Tensor
    precedence_weights: Tensor
    read_weights: Tensor
    write_weights: Tensor


class AccessControls(NamedTuple):
    """The controls that the controller emits in one step: the paper's interface vector.

    Attributes:
        write_vectors: `(batch, num_writes, word_size)`, added to the slots written.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1], erased before.
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
        read_masks: `(batch, num_reads, word_size)`, in [`mask_floor`, 1], with
            `masked_content`; else `None`.
        link_sharpness: `(batch, num_reads, 2 * num_writes)`, before squashing, columns
            backward, forward, with `link_sharpness`; else `None`.
    """

    write_vectors: Tensor
    erase_vectors: Tensor
    free_gate: Tensor
    allocation_gate: Tensor
    write_gate: Tensor
    read_mode: Tensor | None
    write_keys: Tensor
    write_strengths: Tensor
    read_keys: Tensor
    read_strengths: Tensor
    write_masks: Tensor | None = None
    read_masks: Tensor | None = None
    link_sharpness: Tensor | None = None
