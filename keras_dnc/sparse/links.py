"""The order of writing, kept for a few slots beside each slot (Rae et al. 2016)."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import largest_of
from keras_dnc.ops.rows import linked_rows
from keras_dnc.ops.rows import set_rows
from keras_dnc.ops.rows import weight_at
from keras_dnc.ops.rows import where_active


class SparseLinkageState(NamedTuple):
    """What sparse links remember. Where a weight is 0, its slot means nothing.

    Attributes:
        backward_slots: `(batch, memory_size, link_top_k)`, in the row of a slot those
            that were written right before it.
        backward_weights: `(batch, memory_size, link_top_k)`, rows sum to at most 1.
        forward_slots: `(batch, memory_size, link_top_k)`, in the row of a slot those
            that were written right after it.
        forward_weights: `(batch, memory_size, link_top_k)`, rows sum to at most 1.
        precedence_slots: `(batch, link_top_k)`, those written last.
        precedence_weights: `(batch, link_top_k)`, sum to at most 1.
    """

    backward_slots: Any
    backward_weights: Any
    forward_slots: Any
    forward_weights: Any
    precedence_slots: Any
    precedence_weights: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseLinkage(keras.layers.Layer):
    r"""Links between slots written one after the other, the largest few of each slot.

    With write weights w and precedence weights p of the step before,

    $$N_t(i, j) = (1 - w(i)) N_{t-1}(i, j) + w(i) p(j), \quad i \neq j$$
    $$P_t(i, j) = (1 - w(i)) P_{t-1}(i, j) + p(i) w(j), \quad i \neq j$$
    $$p_t = (1 - \sum_i w(i)) p + w$$

    of each row of which the `link_top_k` largest are kept. N leads backward, P forward.
    A step changes the rows of slots that are written or were written last.

    Departures: both kinds of links are weakened when the slot they lead from is written
    again; weakening those that lead to it, as the dense DNC does, would change rows all
    over the memory. No gradient flows through links, as in the paper.

    Args:
        link_top_k: Links kept per slot and direction.
        **kwargs: As in `keras.layers.Layer`; float32 in place of half precision.

    Call arguments:
        slots: `(batch, writes)`, slots that are written; those that repeat add up.
        weights: `(batch, writes)`, their weights, which sum to at most 1.
        state: The previous `SparseLinkageState`.
        active: `(batch,)`, which samples change; `None` for all.

    Returns:
        The new `SparseLinkageState`.

    Raises:
        ValueError: `link_top_k` is no positive integer, or a call argument has the
            wrong shape.

    Example:
        >>> import numpy as np
        >>> linkage = SparseLinkage(link_top_k=2)
        >>> shapes = linkage.state_shapes(memory_size=5)
        >>> state = SparseLinkageState(*(np.zeros((1, *s), "float32") for s in shapes))
        >>> certain = np.ones((1, 1), "float32")
        >>> state = linkage(np.array([[3.0]], "float32"), certain, state)
        >>> state = linkage(np.array([[1.0]], "float32"), certain, state)
        >>> float(state.forward_slots[0, 3, 0]), float(state.backward_slots[0, 1, 0])
        (1.0, 3.0)

    References:
        - Rae et al. 2016, appendix D.
        - Graves et al. 2016, Methods, "Sparse link matrix".
    """

    def __init__(self, link_top_k: int = 8, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.link_top_k = positive_integer("link_top_k", link_top_k)

    def state_shapes(self, memory_size):
        """`SparseLinkageState` with the shape of one sample at each leaf."""
        rows = (memory_size, self.link_top_k)
        return SparseLinkageState(*[rows] * 4, *[(self.link_top_k,)] * 2)

    def call(self, slots, weights, state, active=None):
        """Link what is written now to what was written last."""
        check_shape("slots", slots.shape, ("batch", "writes"))
        check_shape("weights", weights.shape, ("batch", slots.shape[1]))
        weights = ops.stop_gradient(weights)
        last = state.precedence_slots, state.precedence_weights
        both = ops.concatenate([slots, last[0]], axis=1)
        written_at = weight_at(both, slots, weights)
        was_last_at = weight_at(both, *last)
        count = slots.shape[1]
        backward = self._linked(
            (state.backward_slots, state.backward_weights),
            slots,
            written=written_at[:, :count],
            linked=written_at[:, :count],
            targets=last,
            active=active,
        )
        forward = self._linked(
            (state.forward_slots, state.forward_weights),
            both,
            written=written_at,
            linked=was_last_at,
            targets=(slots, weights),
            active=active,
        )
        kept = (1.0 - ops.sum(weights, axis=1, keepdims=True)) * last[1]
        precedence = largest_of(
            both, ops.concatenate([weights, kept], axis=1), self.link_top_k
        )
        precedence = [
            where_active(active, new, old)
            for new, old in zip(precedence, last, strict=True)
        ]
        return SparseLinkageState(*backward, *forward, *precedence)

    def _linked(self, links, rows, written, linked, targets, active):
        """Weaken the links of rows that are written, add new ones.

        Args:
            links: Slots and weights, each `(batch, memory_size, link_top_k)`.
            rows: `(batch, count)`, rows that change.
            written: `(batch, count)`, how far each is written.
            linked: `(batch, count)`, how far each gets new links.
            targets: Slots to link them to, and weights, each `(batch, targets)`.
            active: As in `call`.
        """
        old_slots, old_weights = (gather_rows(part, rows) for part in links)
        new = linked_rows(
            rows,
            (old_slots, (1.0 - written[:, :, None]) * old_weights),
            linked[:, :, None] * targets[1][:, None, :],
            targets[0],
        )
        return [
            set_rows(part, rows, where_active(active, changed, old))
            for part, changed, old in zip(
                links, new, (old_slots, old_weights), strict=True
            )
        ]

    def follow(self, state, slots, weights, count):
        """Step from slots to those written before and after them.

        Args:
            state: `SparseLinkageState`.
            slots: `(batch, heads, reads)`.
            weights: `(batch, heads, reads)`.
            count: How many slots to give per head and direction.

        Returns:
            `(slots, weights)`, each `(batch, heads, 2 * count)`, backward then forward.
        """
        heads, reads = slots.shape[1:]
        weights = ops.stop_gradient(weights)[..., None]
        rows = ops.reshape(slots, (-1, heads * reads))
        shape = (-1, heads, reads, self.link_top_k)
        found = []
        for to, by in (
            (state.backward_slots, state.backward_weights),
            (state.forward_slots, state.forward_weights),
        ):
            to = ops.reshape(gather_rows(to, rows), shape)
            by = ops.reshape(gather_rows(by, rows), shape) * weights
            flat = (-1, heads, reads * self.link_top_k)
            found.append(
                largest_of(ops.reshape(to, flat), ops.reshape(by, flat), count)
            )
        return [ops.concatenate(part, axis=2) for part in zip(*found, strict=True)]

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "link_top_k": self.link_top_k}
