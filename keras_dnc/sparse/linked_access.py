"""Sparse access that follows links to what was written before and after."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.ops.rows import chosen
from keras_dnc.ops.rows import is_at
from keras_dnc.ops.rows import summed
from keras_dnc.sparse.access import SparseAccess
from keras_dnc.sparse.access import weighted_sum
from keras_dnc.sparse.links import SparseLinkage


class LinkedAccessState(NamedTuple):
    """The memory and all that sparse addressing with links remembers of it.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        index: What the search remembers, a list of tensors.
        accesses: Time of last access, a list of tensors; see `accesses`.
        time: `(batch, 1)`, steps taken.
        read_slots: `(batch, num_reads, top_k)`, slots that were last read.
        read_weights: `(batch, num_reads, top_k)`, rows sum to at most 1.
        links: `SparseLinkageState`.
    """

    memory: Any
    index: Any
    accesses: Any
    time: Any
    read_slots: Any
    read_weights: Any
    links: Any


class LinkedControls(NamedTuple):
    """What the controller asks of a memory with links in one step.

    Attributes:
        write_vector: As in `SparseControls`, and so are all others but the last.
        write_gate: `(batch, 1)`.
        write_mode: `(batch, num_reads + 1)`.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`.
        read_mode: `(batch, num_reads, 3)`, sums to 1 over backward, forward, content.
    """

    write_vector: Any
    write_gate: Any
    write_mode: Any
    read_keys: Any
    read_strengths: Any
    read_mode: Any


class LinkedNotes(NamedTuple):
    """What back-propagation takes over from a step with links.

    Attributes:
        touched: `Touched`; its `read` holds, for each head, the slots that links lead
            to, backward then forward, and the slots that the search found.
        found: `(batch, num_reads, top_k)`, 1 where the search found a slot, else 0.
        linked: `(batch, num_reads, 2 * top_k)`, weights of what links lead to.
        chosen: `(batch, num_reads, top_k)`, which of each head's slots it reads.
    """

    touched: Any
    found: Any
    linked: Any
    chosen: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class LinkedAccess(SparseAccess):
    r"""Sparse access that can also read what was written before or after.

    $$w^{r,i} = \mathrm{top}_K(\pi_1 b^i + \pi_2 f^i
    + \pi_3 \mathrm{softmax}_K(\beta^i \cos(k^i, M_t)))$$

    where b and f are one step along the links from what was read before; see
    `SparseLinkage`. Writing is that of `SparseAccess`.

    Departures: those of `SparseAccess` and `SparseLinkage`; the K largest are not
    scaled to sum to 1.

    Args:
        *args: As in `SparseAccess`.
        link_top_k: Links kept per slot and direction.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: As in `SparseAccess`.

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

    options = (*SparseAccess.options, "link_top_k")
    controls_type = LinkedControls
    edited_links = (
        "backward_slots",
        "backward_weights",
        "forward_slots",
        "forward_weights",
    )

    def __init__(
        self, *args: Any, link_top_k: int = 8, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **{"dtype": dtype, **kwargs})
        self.linkage = SparseLinkage(link_top_k, dtype=self.dtype_policy)
        self.link_top_k = self.linkage.link_top_k

    def _control_shapes(self):
        read_mode = ((self.num_reads, 3), "softmax")
        return {**super()._control_shapes(), "read_mode": read_mode}

    @property
    def state_shapes(self):
        """`LinkedAccessState` with the shape of one sample at each leaf."""
        links = self.linkage.state_shapes(self.memory_size)
        return LinkedAccessState(*super().state_shapes, links=links)

    @property
    def edited_states(self):
        """Names of the states that are edited in place, the memory first."""
        return [*super().edited_states, *self.edited_links]

    @property
    def note_shapes(self):
        """`LinkedNotes` with the shape of one sample at each leaf."""
        heads, top_k = self.num_reads, self.top_k
        return LinkedNotes(
            touched=self._touched_shapes(3 * heads * top_k),
            found=(heads, top_k),
            linked=(heads, 2 * top_k),
            chosen=(heads, top_k),
        )

    def step(self, controls, state, recorded=None, active=None):
        """Write, link, search, read; no gradient flows into the links before."""
        links = tree.map_structure(
            lambda part: None if part is None else ops.stop_gradient(part), state.links
        )
        state = state._replace(links=links)
        return super().step(controls, state, recorded, active)

    def _link(self, state, written, write_weights, active):
        links = self.linkage(written, write_weights, state.links, active=active)
        return state._replace(links=links)

    def _candidates(self, state, slots, found):
        linked, weights = self.linkage.follow(
            state.links, state.read_slots, state.read_weights, self.top_k
        )
        slots = ops.concatenate([linked, slots], axis=2)
        return slots, LinkedNotes(None, found, linked=weights, chosen=None)

    def _read(self, controls, rows, notes):
        rows = self._by_head(rows, self.word_size)
        slots = self._by_head(notes.touched.read)
        content = self._content_weights(
            controls, rows[:, :, -self.top_k :], notes.found
        )
        weights = summed(slots, self._mixed(controls.read_mode, notes.linked, content))
        if notes.chosen is None:
            places = ops.top_k(ops.stop_gradient(weights), self.top_k)[1]
            notes = notes._replace(chosen=ops.cast(places, self.compute_dtype))
        is_read = ops.any(is_at(notes.chosen, weights.shape[2]), axis=2)
        read_words = weighted_sum(ops.where(is_read, weights, 0.0), rows)
        weights, slots = chosen(weights, notes.chosen), chosen(slots, notes.chosen)
        return read_words, slots, weights, notes

    def _mixed(self, read_mode, linked, content):
        """Weigh backward, forward and content by the read mode, side by side."""
        linked = ops.reshape(linked, (-1, self.num_reads, 2, self.top_k))
        linked = linked * read_mode[:, :, :2, None]
        linked = ops.reshape(linked, (-1, self.num_reads, 2 * self.top_k))
        return ops.concatenate([linked, content * read_mode[:, :, 2:]], axis=2)
