"""Links of which each row keeps its largest few: `link_top_k` of the DNC."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.precision import full_precision
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.addressing import newest
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import linked_rows
from keras_dnc.ops.rows import set_rows
from keras_dnc.ops.rows import values_at
from keras_dnc.typing import Tensor


class SparseLink(NamedTuple):
    """Links as lists, K entries a row. Where a weight is 0, its slot means nothing.

    Attributes:
        link_slots: `(batch, num_writes, memory_size, K)`, in the row of slot i the
            slots j that it was written right after.
        link_weights: `(batch, num_writes, memory_size, K)`, `link[i, j]`.
    """

    link_slots: Tensor
    link_weights: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseTemporalLinkage(keras.layers.Layer):
    r"""The order in which slots were written, in O(N K) numbers in place of N x N.

    $$\hat L_t[i, j] = (1 - \hat w^w_i - \hat w^w_j) \hat L_{t-1}[i, j]
    + \hat w^w_i \hat p_{t-1}[j], \quad \hat L[i, i] = 0$$

    where the hats keep the K largest write weights and precedence weights, and links
    below 1/K are dropped. A row of links sums to at most 1, so that at most K are left.

    Departures: one list of links per write head, as in deepmind/dnc. The K largest
    weights are scaled to the sum of all, not to 1: what is not written is not linked.

    Args:
        link_top_k: K.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        state: The previous `TemporalLinkageState`, whose `link` is a `SparseLink`.

    Returns:
        The new `TemporalLinkageState`.

    Raises:
        ValueError: `link_top_k` is no positive integer, or a call argument has the
            wrong shape.

    References:
        - Graves et al. 2016, Methods, "Sparse link matrix".
    """

    def __init__(self, link_top_k: int = 8, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.link_top_k = positive_integer("link_top_k", link_top_k)

    def link_shape(self, num_writes, memory_size):
        """`SparseLink` with the shape of one sample at each leaf."""
        shape = (num_writes, memory_size, self._count(memory_size))
        return SparseLink(shape, shape)

    def _count(self, memory_size):
        return min(self.link_top_k, memory_size)

    def call(self, write_weights, state):
        """Decay the links of what is written over, add the newest ones."""
        legend = ("batch", "num_writes", "memory_size")
        check_shape("write_weights", write_weights.shape, legend)
        _, writes, slots = write_weights.shape
        count = self._count(slots)
        link, precedence_weights = state
        for name, part in zip(SparseLink._fields, link, strict=True):
            check_shape(name, part.shape, ("batch", writes, slots, count))
        flat = [ops.reshape(part, (-1, slots, count)) for part in link]
        flat = self._linked(
            *flat,
            self._largest(ops.reshape(write_weights, (-1, slots))),
            self._largest(ops.reshape(precedence_weights, (-1, slots))),
        )
        link = [ops.reshape(part, (-1, writes, slots, count)) for part in flat]
        return TemporalLinkageState(
            SparseLink(*link), newest(write_weights, precedence_weights)
        )

    def _largest(self, weights):
        """Give slots and weights, `(batch, K)`, of the largest of `(batch, N)`."""
        slots = ops.top_k(ops.stop_gradient(weights), self._count(weights.shape[1]))[1]
        kept = values_at(weights, slots)
        whole = ops.sum(weights, axis=1, keepdims=True)
        part = ops.sum(kept, axis=1, keepdims=True)
        scale = ops.where(part > 0.0, whole / ops.maximum(part, _TINY), 0.0)
        return ops.cast(slots, weights.dtype), kept * scale

    def _linked(self, slots, weights, written, last):
        """Update the links of one head, `(batch, N, K)`, by the largest weights."""
        rows, count = written[0], slots.shape[2]
        by_slot = _spread(*written, slots.shape[1])
        there = ops.reshape(slots, (-1, slots.shape[1] * count))
        there = ops.reshape(gather_rows(by_slot, there), (-1, *slots.shape[1:]))
        weights = (1.0 - by_slot[:, :, None] - there) * weights
        new_slots, new_weights = linked_rows(
            rows,
            (gather_rows(slots, rows), gather_rows(weights, rows)),
            written[1][:, :, None] * last[1][:, None, :],
            last[0],
        )
        weights = set_rows(weights, rows, new_weights)
        weights = ops.where(weights < 1.0 / self.link_top_k, 0.0, weights)
        return set_rows(slots, rows, new_slots), weights

    def follow(
        self, link: SparseLink, read_weights: Tensor, read_mode: Tensor
    ) -> Tensor:
        """Return `directional_read_weights`, weighted by `read_mode` and summed.

        Args:
            link: `SparseLink`.
            read_weights: `(batch, num_reads, memory_size)` of the previous step.
            read_mode: `(batch, num_reads, 2 * num_writes)`, columns backward (one per
                write head), then forward.

        Returns:
            `(batch, num_reads, memory_size)`.
        """
        forward, backward = self.directional_read_weights(link, read_weights)
        weights = ops.concatenate([backward, forward], axis=2)
        return ops.sum(read_mode[..., None] * weights, axis=2)

    def directional_read_weights(self, link, read_weights):
        """Step from what was read to what was written next, and to what before.

        Args:
            link: `SparseLink`.
            read_weights: `(batch, num_reads, memory_size)` of the previous step.

        Returns:
            `(forward, backward)`, each `(batch, num_reads, num_writes, memory_size)`,
            rows sum to at most 1.
        """
        _, writes, slots, count = link.link_slots.shape
        reads = read_weights.shape[1]
        places = ops.reshape(link.link_slots, (-1, 1, writes, slots * count))
        places = ops.tile(places, (1, reads, 1, 1))
        places = ops.reshape(places, (-1, slots * count))
        heads = ops.stack([read_weights] * writes, axis=2)
        heads = ops.reshape(heads, (-1, slots))
        by = ops.tile(link.link_weights[:, None], (1, reads, 1, 1, 1))
        by = ops.reshape(by, (-1, slots, count))
        there = ops.reshape(gather_rows(heads, places), (-1, slots, count))
        forward = ops.sum(by * there, axis=-1)
        back = ops.reshape(by * heads[:, :, None], (-1, slots * count))
        backward = _spread(places, back, slots)
        shape = (-1, reads, writes, slots)
        return ops.reshape(forward, shape), ops.reshape(backward, shape)

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "link_top_k": self.link_top_k}


_TINY = 1e-30  # keeps a quotient finite that is not taken


def _spread(slots, weights, size):
    """Add up weights by slot: `(batch, size)` of two `(batch, count)`."""
    first = ops.arange(ops.shape(slots)[0], dtype="int32")[:, None] * size
    places = ops.reshape(ops.cast(slots, "int32") + first, (-1,))
    total = ops.shape(slots)[0] * size
    spread = ops.segment_sum(ops.reshape(weights, (-1,)), places, total)
    return ops.reshape(spread, (-1, size))
