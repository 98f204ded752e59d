"""Sparse links in the order of writing (Rae et al. 2016, appendix D)."""

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
from keras_dnc.typing import DType, Tensor, Tensors


class SparseLinkageState(NamedTuple):
    """State of the sparse links. Where a weight is 0, its slot has no meaning.

    Attributes:
        backward_slots: `(batch, memory_size, link_top_k)`, in the row of each slot the
            slots written right before it.
        backward_weights: `(batch, memory_size, link_top_k)`, rows sum to at most 1.
        forward_slots: `(batch, memory_size, link_top_k)`, in the row of each slot the
            slots written right after it.
        forward_weights: `(batch, memory_size, link_top_k)`, rows sum to at most 1.
        precedence_slots: `(batch, link_top_k)`, the slots written last.
        precedence_weights: `(batch, link_top_k)`, sum to at most 1.
    """

    backward_slots: Tensor  # N_t
    backward_weights: Tensor
    forward_slots: Tensor  # P_t
    forward_weights: Tensor
    precedence_slots: Tensor  # p_t
    precedence_weights: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseLinkage(keras.layers.Layer):
    r"""Links between slots in the order of writing, the largest few of each slot.

    With write weights $w_t$ and precedence weights $p_t$,

    $$N_t(i, j) = (1 - w_t(i)) N_{t-1}(i, j) + w_t(i) p_{t-1}(j), \quad i \neq j$$
    $$P_t(i, j) = (1 - w_t(i)) P_{t-1}(i, j) + p_{t-1}(i) w_t(j), \quad i \neq j$$
    $$p_t = (1 - \textstyle\sum_i w_t(i)) p_{t-1} + w_t$$

    Only the `link_top_k` largest entries of each row and of $p_t$ are kept. N has the
    links backward in time, P those forward. A step changes the rows of the slots that
    it writes and of those written last. No gradient flows through links.

    Departures: a link is weakened only when the slot that it starts from is written
    again. Weakening it when its target is written again would change rows all over the
    memory.

    Args:
        link_top_k: Links kept per slot and direction. Defaults to 8.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        slots: `(batch, writes)`, slots that are written; the weights of repeated slots
            add up.
        weights: `(batch, writes)`, write weights, which sum to at most 1.
        state: The previous `SparseLinkageState`.
        active: `(batch,)`, batch elements that take the step; `None` for all. Defaults
            to `None`.

    Returns:
        The new `SparseLinkageState`.

    Raises:
        ValueError: If `link_top_k` is not a positive integer, or a call argument has
            the wrong shape.

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
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, appendix D.
        - Graves et al. 2016, Methods, "Sparse link matrix".
    """

    def __init__(self, link_top_k: int = 8, dtype: DType = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.link_top_k = positive_integer("link_top_k", link_top_k)

    def state_shapes(self, memory_size: int) -> SparseLinkageState:
        """Return a `SparseLinkageState` of shapes, without the batch axis.

        Args:
            memory_size: Slots of the memory.
        """
        rows = (memory_size, self.link_top_k)
        return SparseLinkageState(*[rows] * 4, *[(self.link_top_k,)] * 2)

    def call(
        self,
        slots: Tensor,
        weights: Tensor,
        state: SparseLinkageState,
        active: Tensor | None = None,
    ) -> SparseLinkageState:
        """Link the slots written now and the slots written last."""
        check_shape("slots", slots.shape, ("batch", "writes"))
        check_shape("weights", weights.shape, ("batch", slots.shape[1]))
        weights = ops.stop_gradient(weights)
        last = state.precedence_slots, state.precedence_weights  # p_{t-1}
        both = ops.concatenate([slots, last[0]], axis=1)
        written_at = weight_at(both, slots, weights)  # w_t(i)
        was_last_at = weight_at(both, *last)  # p_{t-1}(i)
        count = slots.shape[1]
        backward = self._linked(  # N_t
            (state.backward_slots, state.backward_weights),
            slots,
            written=written_at[:, :count],
            linked=written_at[:, :count],
            targets=last,
            active=active,
        )
        forward = self._linked(  # P_t
            (state.forward_slots, state.forward_weights),
            both,
            written=written_at,
            linked=was_last_at,
            targets=(slots, weights),
            active=active,
        )
        precedence = self._precedence(both, weights, last, active)  # p_t
        return SparseLinkageState(*backward, *forward, *precedence)

    def _precedence(
        self,
        slots: Tensor,
        weights: Tensor,
        last: tuple[Tensor, Tensor],
        active: Tensor | None,
    ) -> Tensors:
        """Return slots and weights of the slots written last, `(batch, link_top_k)`.

        Args:
            slots: `(batch, writes + link_top_k)`, slots written now, then written last.
            weights: `(batch, writes)`, write weights.
            last: Slots and weights of those written last, `(batch, link_top_k)`.
            active: `(batch,)`, batch elements that take the step; `None` for all.
        """
        kept = (1.0 - ops.sum(weights, axis=1, keepdims=True)) * last[1]
        weights = ops.concatenate([weights, kept], axis=1)
        new = largest_of(slots, weights, self.link_top_k)
        return [where_active(active, a, b) for a, b in zip(new, last, strict=True)]

    def _linked(
        self,
        links: tuple[Tensor, Tensor],
        rows: Tensor,
        written: Tensor,
        linked: Tensor,
        targets: tuple[Tensor, Tensor],
        active: Tensor | None,
    ) -> Tensors:
        """Weaken the links of rows that are written, and add new ones.

        Args:
            links: Slots and weights, each `(batch, memory_size, link_top_k)`.
            rows: `(batch, count)`, rows that change.
            written: `(batch, count)`, how far each row is written.
            linked: `(batch, count)`, how far each row gets new links.
            targets: Slots and weights of the other ends, each `(batch, targets)`.
            active: `(batch,)`, batch elements that take the step; `None` for all.

        Returns:
            New slots and weights, each `(batch, memory_size, link_top_k)`.
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

    def follow(
        self, state: SparseLinkageState, slots: Tensor, weights: Tensor, count: int
    ) -> Tensors:
        """Step from slots to the slots written before and after them.

        Args:
            state: `SparseLinkageState`.
            slots: `(batch, heads, reads)`, slots read in the previous step.
            weights: `(batch, heads, reads)`, their read weights.
            count: Number of slots to return per head and direction.

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

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "link_top_k": self.link_top_k}
