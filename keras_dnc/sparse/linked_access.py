"""Sparse access with links in the order of writing (Rae et al. 2016, appendix D)."""

from typing import Any, NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_at_most
from keras_dnc.cells.row_access import Written
from keras_dnc.ops.rows import is_at
from keras_dnc.ops.rows import largest_places
from keras_dnc.ops.rows import summed
from keras_dnc.ops.rows import values_at
from keras_dnc.signature import passes_on
from keras_dnc.sparse.access import SparseAccess
from keras_dnc.sparse.access import weighted_sum
from keras_dnc.sparse.links import SparseLinkage
from keras_dnc.sparse.links import SparseLinkageState
from keras_dnc.typing import DType, Fields, Shape, State, Tensor, Tensors


class LinkedAccessState(NamedTuple):
    """State of a sparse memory with links and its addressing.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        index: Index of the search, a list of tensors; see `Search.state_shapes`.
        accesses: Time of last access, a list of tensors; see `sparse.least_recent`.
        time: `(batch, 1)`, number of steps taken; see `sparse.least_recent.rewound`.
        read_slots: `(batch, num_reads, top_k)`, slots read in the previous step.
        read_weights: `(batch, num_reads, top_k)`, rows sum to at most 1.
        links: Links and precedence weights, a `SparseLinkageState`.
    """

    memory: Tensor  # M_t
    index: Tensors  # type: ignore[assignment]  # hides `tuple.index`
    accesses: Tensors
    time: Tensor  # t
    read_slots: Tensor
    read_weights: Tensor  # w_t^{R,i}
    links: SparseLinkageState  # N_t, P_t, p_t


class LinkedControls(NamedTuple):
    """Controls that the controller emits in one step.

    Attributes:
        write_vector: `(batch, word_size)`, added to the slots written.
        write_gate: `(batch, 1)`, in [0, 1]: how much to write.
        write_mode: `(batch, num_reads + 1)`, sums to 1: share of the write to the slots
            that each head read in the previous step, and to the slot accessed least
            recently.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`, before squashing.
        read_mode: `(batch, num_reads, 3)`, sums to 1 over backward, forward, content.
    """

    write_vector: Tensor  # v_t
    write_gate: Tensor  # alpha_t
    write_mode: Tensor  # gamma_t
    read_keys: Tensor  # k_t^i
    read_strengths: Tensor  # beta_t^i
    read_mode: Tensor  # pi_t^i


class LinkedRows(NamedTuple):
    """The rows that a step with links may read.

    Attributes:
        candidates: `(batch, 3 * num_reads * top_k)`: for each head, the slots that
            links lead to, backward then forward, and the slots that the search found.
        found: `(batch, num_reads, top_k)`, 1 for a slot that the search found, else 0.
        linked: `(batch, num_reads, 2 * top_k)`, weights of the slots that links lead
            to.
    """

    candidates: Tensor
    found: Tensor
    linked: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(SparseAccess)
class LinkedAccess(SparseAccess):
    r"""Sparse access whose read heads can follow links in the order of writing.

    $$r^i_t = M_t^\top w^{R,i}_t \tag{1}$$
    $$w^{R,i}_t = \mathrm{top}_K(\pi^i_1 b^i_t + \pi^i_2 f^i_t
    + \pi^i_3 \mathrm{softmax}_K(\beta^i_t \cos(k^i_t, M_t)))$$

    where $b^i_t$ and $f^i_t$ are one step backward and forward along the links of
    `SparseLinkage`, from the slots read in the previous step. `SparseAccess` has the
    equations of writing.

    Departures, besides those of `SparseAccess` and `SparseLinkage`: the K largest
    weights are not scaled to sum to 1.

    Args:
        link_top_k: Links kept per slot and direction. Defaults to 8.
        {options}

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `LinkedAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `LinkedAccessState`.

    Raises:
        ValueError: If a size or `link_top_k` is not a positive integer, `memory_size`
            is above 2^24, `top_k` or `link_top_k` is above `memory_size`, `search` or
            `strength` is unknown, `control_biases` do not fit the controls, or a call
            argument has the wrong shape.

    Example:
        >>> import numpy as np
        >>> access = LinkedAccess(memory_size=4096, word_size=8, num_reads=2)
        >>> state = access.get_initial_state(batch_size=3)
        >>> read_words, state = access(np.ones((3, 32), "float32"), state)
        >>> tuple(state.links.forward_slots.shape)
        (3, 4096, 8)

    References:
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, appendix D.
    """

    controls_type = LinkedControls
    read_rows_type = LinkedRows

    def __init__(
        self, *args: Any, link_top_k: int = 8, dtype: DType = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **{"dtype": dtype, **kwargs})
        self.linkage = SparseLinkage(link_top_k, dtype=self.dtype_policy)
        self.link_top_k = self.linkage.link_top_k
        check_at_most("link_top_k", self.link_top_k, "memory_size", self.memory_size)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `LinkedControls` to `(shape, activation)`."""
        read_mode = ((self.num_reads, 3), "softmax")  # pi_t^i
        return {**super().control_shapes, "read_mode": read_mode}

    @property
    def state_shapes(self) -> LinkedAccessState:
        """`LinkedAccessState` with the shape of one batch element at each leaf."""
        links = self.linkage.state_shapes(self.memory_size)
        return LinkedAccessState(**super().state_shapes._asdict(), links=links)

    @property
    def tables(self) -> list[str]:
        """Names of memory, index, times of last access, and rows of links."""
        return [*super().tables, *SparseLinkageState._fields[:4]]

    def index(self, state: State, written: Written, active: Tensor | None) -> State:
        """Update the index of the search, and link the slots written."""
        state = super().index(state, written, active)
        links = tree.map_structure(ops.stop_gradient, state.links)
        links = self.linkage(written.slots, written.weights, links, active=active)
        return state._replace(links=links)

    def select_reads(self, controls: LinkedControls, state: State) -> LinkedRows:
        """Select the slots that links lead to and those most similar to the keys."""
        linked, weights = self.linkage.follow(  # b_t^i, f_t^i
            state.links, state.read_slots, state.read_weights, self.top_k
        )
        slots, found = self._most_similar(controls, state)
        slots = ops.concatenate([linked, slots], axis=2)
        return LinkedRows(self._flat(slots), found, weights)

    def read(
        self, controls: LinkedControls, state: State, rows: LinkedRows, words: Tensor
    ) -> Fields:
        """Read from the `top_k` slots of largest weight, by links and content."""
        words = self._by_head(words, self.word_size)
        slots = self._by_head(rows.candidates)
        similar = words[:, :, -self.top_k :]
        content = self._content_weights(controls, similar, rows.found)
        mixed = self._mixed(controls.read_mode, rows.linked, content)
        weights = summed(slots, mixed)  # each slot once
        places = largest_places(weights, self.top_k)
        is_read = ops.any(is_at(places, weights.shape[2]), axis=2)
        read_weights = ops.where(is_read, weights, 0.0)
        return {
            "read_words": weighted_sum(read_weights, words),  # r_t^i, eq. 1
            "read_slots": values_at(slots, places),
            "read_weights": values_at(weights, places),  # w_t^{R,i}
            "time": state.time + 1.0,
        }

    def _mixed(self, read_mode: Tensor, linked: Tensor, content: Tensor) -> Tensor:
        """Weight backward, forward and content by the read mode, and concatenate."""
        linked = ops.reshape(linked, (-1, self.num_reads, 2, self.top_k))
        linked = linked * read_mode[:, :, :2, None]
        linked = ops.reshape(linked, (-1, self.num_reads, 2 * self.top_k))
        return ops.concatenate([linked, content * read_mode[:, :, 2:]], axis=2)
