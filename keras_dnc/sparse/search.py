"""Search for the slots most similar to a key: the base, and exact search.

Rae et al. 2016, section 3.5.
"""

from typing import Any

import keras
from keras import ops

from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.ranking import BEYOND
from keras_dnc.ops.ranking import stable_top_k
from keras_dnc.ops.rows import set_rows
from keras_dnc.typing import DType, Shape, Tensor, Tensors

_EPSILON = 1e-6  # keeps the quotient finite at a row of zeros
_BLOCK = 512  # slots per block: shorter and longer blocks are slower


class Search(keras.layers.Layer):
    """Base of the searches for the slots most similar to a key.

    A subclass has the methods `state_shapes`, `update` and `find`.

    Args:
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Example:
        A search by dot product, which needs no index.

        >>> class DotProductSearch(Search):
        ...     def state_shapes(self, memory_size):
        ...         return []
        ...     def update(self, index, slots, before, after, active):
        ...         return index
        ...     def find(self, memory, index, keys, top_k):
        ...         scores = ops.matmul(keys, ops.transpose(memory, (0, 2, 1)))
        ...         slots = ops.top_k(scores, top_k)[1]
        ...         return slots, ops.ones_like(slots, dtype="bool")
        >>> import keras_dnc
        >>> cell = keras_dnc.SAMCell(5, controller=8, search=DotProductSearch())
        >>> keras_dnc.MemoryRNN(cell)(keras.Input((None, 3))).shape
        (None, 5)
    """

    def __init__(self, dtype: DType = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)

    def prepare(self, memory_size: int, word_size: int) -> None:
        """Create the weights, unless a cell with a memory of this size has done so.

        Args:
            memory_size: Slots of the memory.
            word_size: Numbers in a slot.

        Raises:
            ValueError: If the search belongs to a memory of another size.
        """
        size = (memory_size, word_size)
        if not self.built:
            self.build((None, *size))
        if self.size != size:
            raise ValueError(
                "Argument `search` must be a layer of its own for each size of memory. "
                f"Received: search={self!r}, made for (memory_size, word_size) = "
                f"{self.size}, around a memory of {size}"
            )

    def build(self, memory_shape: tuple[int | None, int, int]) -> None:
        """Store the size of the memory.

        Args:
            memory_shape: `(batch, memory_size, word_size)`.
        """
        self.size = tuple(memory_shape[1:])

    def get_config(self) -> dict[str, Any]:  # Keras requires it: `dtype` is named
        """Return the constructor's arguments."""
        return super().get_config()

    def state_shapes(self, memory_size: int) -> list[Shape]:
        """Return the shapes of the index of one batch element.

        Args:
            memory_size: Slots of the memory.
        """
        raise NotImplementedError

    def update(
        self,
        index: Tensors,
        slots: Tensor,
        before: Tensor,
        after: Tensor,
        active: Tensor | None,
    ) -> Tensors:
        """Return the index after rows have changed.

        Args:
            index: List of tensors, `(batch, *shape)` for each of `state_shapes`.
            slots: `(batch, count)`; repeated slots have equal rows.
            before: `(batch, count, word_size)`, the rows before the change.
            after: `(batch, count, word_size)`, the rows after it.
            active: `(batch,)`, batch elements whose rows have changed; `None` for all.

        Returns:
            List of tensors, of the shapes of `index`.
        """
        raise NotImplementedError

    def find(
        self, memory: Tensor, index: Tensors, keys: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """Find the slots of the largest cosine, in falling order.

        Args:
            memory: `(batch, memory_size, word_size)`.
            index: List of tensors, `(batch, *shape)` for each of `state_shapes`.
            keys: `(batch, heads, word_size)`.
            top_k: Number of slots to find per head.

        Returns:
            `(slots, found)`, each `(batch, heads, top_k)`: whole numbers, and whether
            the search found a slot; if not, the slot is 0.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_dnc")
class ExactSearch(Search):
    """Exact search: compare each key with every row.

    One matrix product computes all similarities. The index has the norm of every row.

    Args:
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.SAMCell(5, controller=8, search=ExactSearch())
        >>> cell.search.state_shapes(memory_size=1024)
        [(1024,)]
    """

    def state_shapes(self, memory_size: int) -> list[Shape]:
        """Return the shape of the index: one norm per slot.

        Args:
            memory_size: Slots of the memory.
        """
        return [(memory_size,)]

    def update(
        self,
        index: Tensors,
        slots: Tensor,
        before: Tensor,
        after: Tensor,
        active: Tensor | None,
    ) -> Tensors:
        """Return the norms after rows have changed; `after` determines them."""
        return [set_rows(index[0], slots, row_norms(after))]

    def find(
        self, memory: Tensor, index: Tensors, keys: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """Find the slots of the largest cosine, in falling order."""
        # Memory first: XLA is several times faster at this product than its transpose.
        product = ops.matmul(memory, ops.transpose(keys, (0, 2, 1)))
        cosine = product / (index[0][:, :, None] + _EPSILON)
        slots = largest(ops.transpose(cosine, (0, 2, 1)), top_k)
        return slots, ops.ones_like(slots, dtype="bool")


def largest(scores: Tensor, count: int, block: int = _BLOCK) -> Tensor:
    """Return the indices of the largest scores, of equal scores the first.

    The search proceeds by blocks: the K largest scores are in the K blocks with the
    largest maxima.

    Args:
        scores: `(batch, heads, memory_size)`.
        count: Number of scores to find, K.
        block: Scores per block. Defaults to 512.

    Returns:
        `(batch, heads, count)`, whole numbers, in falling order of their scores.
    """
    heads, size = scores.shape[1:]
    blocks = -(-size // block)
    if blocks <= 2 * count:
        return stable_top_k(scores, count)[1]
    scores = ops.pad(
        scores, [(0, 0), (0, 0), (0, blocks * block - size)], constant_values=-BEYOND
    )
    scores = ops.reshape(scores, (-1, heads, blocks, block))
    best = stable_top_k(ops.max(scores, axis=-1), count)[1]
    best = ops.sort(best, axis=-1)  # keeps ties in the order of slots
    inside = ops.take_along_axis(scores, best[..., None], axis=2)
    place = stable_top_k(ops.reshape(inside, (-1, heads, count * block)), count)[1]
    return ops.take_along_axis(best, place // block, axis=2) * block + place % block


def row_norms(rows: Tensor) -> Tensor:
    """Return the length of each row."""
    return ops.sqrt(ops.sum(ops.square(rows), axis=-1))
