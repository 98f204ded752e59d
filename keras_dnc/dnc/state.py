"""State and controls of the DNC's memory.

Graves et al. 2016, Methods, "Interface parameters".
"""

from typing import NamedTuple

from keras_dnc.typing import Tensor


class ContentAccessState(NamedTuple):
    """State of a memory without links.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, in [0, 1].
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1, or to 0 before
            the first step.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """

    memory: Tensor  # M_t
    usage: Tensor  # u_t
    read_weights: Tensor  # w_t^{r,i}
    write_weights: Tensor  # w_t^w


class MemoryAccessState(NamedTuple):
    """State of a memory with links.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, in [0, 1].
        link: `(batch, num_writes, memory_size, memory_size)`, in [0, 1], zero diagonal;
            with `link_top_k`, a `SparseLink`.
        precedence_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to at most 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """

    memory: Tensor  # M_t
    usage: Tensor  # u_t
    link: Tensor  # L_t
    precedence_weights: Tensor  # p_t
    read_weights: Tensor  # w_t^{r,i}
    write_weights: Tensor  # w_t^w


class AccessControls(NamedTuple):
    """Controls that the controller emits in one step: the paper's interface vector.

    Attributes:
        write_vectors: `(batch, num_writes, word_size)`, added to the slots written.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1]: share of each number
            that is erased from the slots written, before the addition.
        free_gate: `(batch, num_reads)`, in [0, 1]: how far the slots that each head
            read in the previous step may be reused.
        allocation_gate: `(batch, num_writes)`, in [0, 1]: whether to write to free
            slots (1) or by content (0).
        write_gate: `(batch, num_writes)`, in [0, 1]: how much to write.
        read_mode: `(batch, num_reads, 2 * num_writes + 1)`, sums to 1 over its columns
            backward (one per write head), forward (one per write head), content;
            `None` without links.
        write_keys: `(batch, num_writes, word_size)`.
        write_strengths: `(batch, num_writes)`, before squashing.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`, before squashing.
        write_masks: `(batch, num_writes, word_size)`, in [`mask_floor`, 1]: how far
            each number counts in the comparison with `write_keys`; `None` without
            `masked_content`.
        read_masks: `(batch, num_reads, word_size)`, in [`mask_floor`, 1]: how far each
            number counts in the comparison with `read_keys`; `None` without
            `masked_content`.
        link_sharpness: `(batch, num_reads, 2 * num_writes)`, before squashing, columns
            backward (one per write head), forward (one per write head); `None` without
            the option `link_sharpness`.
    """

    write_vectors: Tensor  # v_t
    erase_vectors: Tensor  # e_t
    free_gate: Tensor  # f_t^i
    allocation_gate: Tensor  # g_t^a
    write_gate: Tensor  # g_t^w
    read_mode: Tensor | None  # pi_t^i
    write_keys: Tensor  # k_t^w
    write_strengths: Tensor  # beta_t^w
    read_keys: Tensor  # k_t^{r,i}
    read_strengths: Tensor  # beta_t^{r,i}
    write_masks: Tensor | None = None  # m_t^w
    read_masks: Tensor | None = None  # m_t^{r,i}
    link_sharpness: Tensor | None = None  # s_t^i
