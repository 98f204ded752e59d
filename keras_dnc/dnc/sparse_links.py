"""Links of which each slot keeps the K largest: the option `link_top_k` of the DNC.

Graves et al. 2016, Methods, "Sparse link matrix". Equation numbers are those of the
list in `keras_dnc.dnc`.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import renamed
from keras_dnc.cells.precision import full_precision
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.addressing import newest
from keras_dnc.ops.ranking import stable_top_k
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import linked_rows
from keras_dnc.ops.rows import set_rows
from keras_dnc.ops.rows import values_at
from keras_dnc.typing import DType, Tensor

_TINY = 1e-12  # smaller weights count as none; the square of it is not 0 in float32


class SparseLink(NamedTuple):
    """Links as lists of K entries per slot.

    Where a weight is 0, its slot has no meaning.

    Attributes:
        link_slots: `(batch, num_writes, memory_size, K)`, in the row of slot i the
            slots j after which it was written.
        link_weights: `(batch, num_writes, memory_size, K)`, the weights `link[i, j]`,
            rows sum to at most 1.
    """

    link_slots: Tensor
    link_weights: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseTemporalLinkage(keras.layers.Layer):
    r"""Links in the order of writing, in O(N K) numbers in place of N x N.

    $$\hat L_t[i, j] = (1 - \hat w^w_t[i] - \hat w^w_t[j]) \hat L_{t-1}[i, j]
    + \hat w^w_t[i] \hat p_{t-1}[j], \quad \hat L_t[i, i] = 0 \tag{6}$$

    where the hats keep the K largest write weights and precedence weights, and links
    below 1/K are dropped. A row of links sums to at most 1: at most K are 1/K or more.

    Departures:

    - One list of links per write head, which deepmind/dnc has in its dense form too.
    - The K largest weights are scaled to the sum of all, not to 1: a step that writes
      nothing must add no links.

    Args:
        link_top_k: Links kept per slot, K. With 1, links below 1 are dropped, so that
            hardly any is kept. Defaults to 8.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        state: The previous `TemporalLinkageState`, whose `link` is a `SparseLink`.

    Returns:
        The new `TemporalLinkageState`.

    Raises:
        ValueError: If `link_top_k` is not a positive integer, or a call argument has
            the wrong shape.

    Example:
        >>> import numpy as np
        >>> linkage = SparseTemporalLinkage(link_top_k=2)
        >>> first, second = np.eye(3, dtype="float32")[:2].reshape(2, 1, 1, 3)
        >>> entries = np.zeros((2, 1, 1, 3, 2), "float32")
        >>> state = TemporalLinkageState(SparseLink(*entries), np.zeros((1, 1, 3)))
        >>> state = linkage(second, linkage(first, state))
        >>> float(state.link.link_slots[0, 0, 1, 0])  # slot 1 was written after slot 0
        0.0
        >>> float(state.link.link_weights[0, 0, 1, 0])
        1.0

    References:
        - Graves et al. 2016, Methods, "Sparse link matrix".
    """

    def __init__(self, link_top_k: int = 8, dtype: DType = None, **kwargs: Any) -> None:
        kwargs = renamed(kwargs, "link_sparsity", "link_top_k")
        link_top_k = kwargs.pop("link_top_k", link_top_k)
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.link_top_k = positive_integer("link_top_k", link_top_k)

    def link_shape(self, num_writes: int, memory_size: int) -> SparseLink:
        """Return a `SparseLink` with the shape of one batch element at each leaf."""
        shape = (num_writes, memory_size, self._count(memory_size))
        return SparseLink(shape, shape)

    def _count(self, memory_size: int) -> int:
        """Return the number of links kept per slot."""
        return min(self.link_top_k, memory_size)

    def call(
        self, write_weights: Tensor, state: TemporalLinkageState
    ) -> TemporalLinkageState:
        """Weaken the links of slots that are written, and add the newest links."""
        legend = ("batch", "num_writes", "memory_size")
        check_shape("write_weights", write_weights.shape, legend)
        _, writes, slots = write_weights.shape
        count = self._count(slots)
        link, precedence_weights = state
        for name, part in zip(SparseLink._fields, link, strict=True):
            check_shape(name, part.shape, ("batch", writes, slots, count))
        link_slots, link_weights = (ops.reshape(x, (-1, slots, count)) for x in link)
        flat = self._linked(
            link_slots,
            link_weights,
            self._largest(ops.reshape(write_weights, (-1, slots))),
            self._largest(ops.reshape(precedence_weights, (-1, slots))),
        )
        link = [ops.reshape(part, (-1, writes, slots, count)) for part in flat]
        return TemporalLinkageState(
            SparseLink(*link), newest(write_weights, precedence_weights)
        )

    def _largest(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return slots and weights, `(batch, K)`, of the largest of `(batch, N)`."""
        slots = stable_top_k(ops.stop_gradient(weights), self._count(weights.shape[1]))[
            1
        ]
        kept = values_at(weights, slots)
        whole = ops.sum(weights, axis=1, keepdims=True)
        part = ops.sum(kept, axis=1, keepdims=True)
        is_written = part > _TINY
        scale = ops.where(is_written, whole / ops.where(is_written, part, 1.0), 0.0)
        return ops.cast(slots, weights.dtype), kept * scale

    def _linked(
        self,
        slots: Tensor,
        weights: Tensor,
        written: tuple[Tensor, Tensor],
        last: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Update the links of each write head by the largest weights (eq. 6).

        Args:
            slots: `(batch, N, K)`, slots of the previous links.
            weights: `(batch, N, K)`, weights of the previous links.
            written: Slots and weights of the largest write weights, `(batch, K)`.
            last: Slots and weights of the largest precedence weights, `(batch, K)`.

        Returns:
            New slots and weights, each `(batch, N, K)`.
        """
        rows, count = written[0], slots.shape[2]
        write = _spread(written[0], written[1], slots.shape[1])  # w_t^w[i]
        linked = ops.reshape(slots, (-1, slots.shape[1] * count))
        linked = ops.reshape(gather_rows(write, linked), (-1, *slots.shape[1:]))
        weights = (1.0 - write[:, :, None] - linked) * weights  # linked: w_t^w[j]
        new_slots, new_weights = linked_rows(
            rows,
            (gather_rows(slots, rows), gather_rows(weights, rows)),
            written[1][:, :, None] * last[1][:, None, :],  # w_t^w[i] p_{t-1}[j]
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

    def directional_read_weights(
        self, link: SparseLink, read_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Step from the slots read to those written next and those written before.

        Args:
            link: `SparseLink`.
            read_weights: `(batch, num_reads, memory_size)` of the previous step.

        Returns:
            `(forward, backward)`, each `(batch, num_reads, num_writes, memory_size)`,
            rows sum to at most 1.
        """
        _, writes, slots, count = link.link_slots.shape
        reads = read_weights.shape[1]
        # Read heads and write heads are merged into the batch axis.
        targets = ops.reshape(link.link_slots, (-1, 1, writes, slots * count))
        targets = ops.tile(targets, (1, reads, 1, 1))
        targets = ops.reshape(targets, (-1, slots * count))
        weights = ops.tile(link.link_weights[:, None], (1, reads, 1, 1, 1))
        weights = ops.reshape(weights, (-1, slots, count))
        read = ops.reshape(ops.stack([read_weights] * writes, axis=2), (-1, slots))
        read_at = ops.reshape(gather_rows(read, targets), (-1, slots, count))
        forward = ops.sum(weights * read_at, axis=-1)  # f_t^i, eq. 8
        back = ops.reshape(weights * read[:, :, None], (-1, slots * count))
        backward = _spread(targets, back, slots)  # b_t^i, eq. 8
        shape = (-1, reads, writes, slots)
        return ops.reshape(forward, shape), ops.reshape(backward, shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "link_top_k": self.link_top_k}


def _spread(slots: Tensor, weights: Tensor, size: int) -> Tensor:
    """Add up weights by slot: `(batch, size)` of two `(batch, count)`."""
    first = ops.arange(ops.shape(slots)[0], dtype="int32")[:, None] * size
    indices = ops.reshape(ops.cast(slots, "int32") + first, (-1,))
    total = ops.shape(slots)[0] * size
    spread = ops.segment_sum(ops.reshape(weights, (-1,)), indices, total)
    return ops.reshape(spread, (-1, size))
