"""Sparse access that follows links to what was written before and after."""

from typing import Any, NamedTuple

import keras
from keras import ops
from keras import tree

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
from keras_dnc.typing import DType, Fields, Shape, State, Tensor


class LinkedAccessState(NamedTuple):
    """The memory and all that sparse addressing with links remembers of it.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        index: What the search remembers, a list of tensors.
        accesses: Time of last access, a list of tensors; see `sparse.least_recent`.
        time: `(batch, 1)`, steps taken.
        read_slots: `(batch, num_reads, top_k)`, slots that were last read.
        read_weights: `(batch, num_reads, top_k)`, rows sum to at most 1.
        links: `SparseLinkageState`.
    """

    memory: Tensor
    index: list[Tensor]
    accesses: list[Tensor]
    time: Tensor
    read_slots: Tensor
    read_weights: Tensor
    links: SparseLinkageState


class LinkedControls(NamedTuple):
    """What the controller asks of a memory with links in one step.

    Attributes:
        write_vector: `(batch, word_size)`, added to the slots written.
        write_gate: `(batch, 1)`, in [0, 1]: write at all.
        write_mode: `(batch, num_reads + 1)`, sums to 1 over where to write: the slots
            each head has just read, and the slot accessed least recently.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`, before squashing.
        read_mode: `(batch, num_reads, 3)`, sums to 1 over backward, forward, content.
    """

    write_vector: Tensor
    write_gate: Tensor
    write_mode: Tensor
    read_keys: Tensor
    read_strengths: Tensor
    read_mode: Tensor


class LinkedRows(NamedTuple):
    """The rows that a step with links may read.

    Attributes:
        candidates: `(batch, 3 * num_reads * top_k)`: for each head, the slots that
            links lead to, backward then forward, and the slots that the search found.
        found: `(batch, num_reads, top_k)`, 1 where the search found a slot, else 0.
        linked: `(batch, num_reads, 2 * top_k)`, weights of the slots links lead to.
    """

    candidates: Tensor
    found: Tensor
    linked: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(SparseAccess)
class LinkedAccess(SparseAccess):
    r"""Sparse access that can also read what was written before or after.

    $$w^{r,i} = \mathrm{top}_K(\pi_1 b^i + \pi_2 f^i
    + \pi_3 \mathrm{softmax}_K(\beta^i \cos(k^i, M_t)))$$

    where b and f are one step along the links from what was read before; see
    `SparseLinkage`. Writing is that of `SparseAccess`.

    Departures: those of `SparseAccess` and `SparseLinkage`; the K largest are not
    scaled to sum to 1.

    Args:
        link_top_k: Links kept per slot and direction. Defaults to 8.
        {options}

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `LinkedAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new state.

    Raises:
        ValueError: As in `SparseAccess`, or `link_top_k` is no positive integer.

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

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `LinkedControls` to `(shape, activation)`."""
        read_mode = ((self.num_reads, 3), "softmax")
        return {**super().control_shapes, "read_mode": read_mode}

    @property
    def state_shapes(self) -> LinkedAccessState:
        """`LinkedAccessState` with the shape of one batch element at each leaf."""
        links = self.linkage.state_shapes(self.memory_size)
        return LinkedAccessState(*super().state_shapes, links=links)

    @property
    def tables(self) -> list[str]:
        """Those of `SparseAccess`, and the rows of links."""
        return [*super().tables, *SparseLinkageState._fields[:4]]

    def index(self, state: State, written: Written, active: Tensor | None) -> State:
        """Update the index of the search, and link what is written."""
        state = super().index(state, written, active)
        links = tree.map_structure(ops.stop_gradient, state.links)
        links = self.linkage(written.slots, written.weights, links, active=active)
        return state._replace(links=links)

    def select_reads(self, controls: LinkedControls, state: State) -> LinkedRows:
        """Select the slots links lead to, and those most similar to the keys."""
        linked, weights = self.linkage.follow(
            state.links, state.read_slots, state.read_weights, self.top_k
        )
        slots, found = self._most_similar(controls, state)
        slots = ops.concatenate([linked, slots], axis=2)
        return LinkedRows(self._flat(slots), found, weights)

    def read(
        self, controls: LinkedControls, state: State, rows: LinkedRows, words: Tensor
    ) -> Fields:
        """Mix links and content, and read the `top_k` largest of each head."""
        words = self._by_head(words, self.word_size)
        slots = self._by_head(rows.candidates)
        similar = words[:, :, -self.top_k :]
        content = self._content_weights(controls, similar, rows.found)
        mixed = self._mixed(controls.read_mode, rows.linked, content)
        weights = summed(slots, mixed)
        places = largest_places(weights, self.top_k)
        is_read = ops.any(is_at(places, weights.shape[2]), axis=2)
        return {
            "read_words": weighted_sum(ops.where(is_read, weights, 0.0), words),
            "read_slots": values_at(slots, places),
            "read_weights": values_at(weights, places),
            "time": state.time + 1.0,
        }

    def _mixed(self, read_mode: Tensor, linked: Tensor, content: Tensor) -> Tensor:
        """Weigh backward, forward and content by the read mode, side by side."""
        linked = ops.reshape(linked, (-1, self.num_reads, 2, self.top_k))
        linked = linked * read_mode[:, :, :2, None]
        linked = ops.reshape(linked, (-1, self.num_reads, 2 * self.top_k))
        return ops.concatenate([linked, content * read_mode[:, :, 2:]], axis=2)
