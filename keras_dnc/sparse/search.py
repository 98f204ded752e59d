"""Search for the slots most similar to a key: the base, and exact search.

Rae et al. 2016, section 3.5.
"""

from typing import Any

import keras
from keras import ops

from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.ranking import best_slots
from keras_dnc.ops.rows import set_rows
from keras_dnc.typing import DType, Shape, Tensor, Tensors

_EPSILON = 1e-6  # keeps the quotient finite at a row of zeros


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
        slots = best_slots(_cosines, [memory, *index], keys, top_k)
        return slots, ops.ones_like(slots, dtype="bool")


def _cosines(tables: Tensors, keys: Tensor) -> Tensor:
    """Return the cosine of each key with each row, `(batch, heads, memory_size)`."""
    memory, norms = tables
    # Memory first: XLA is several times faster at this product than its transpose.
    product = ops.matmul(memory, ops.transpose(keys, (0, 2, 1)))
    cosine = product / (norms[:, :, None] + _EPSILON)
    return ops.transpose(cosine, (0, 2, 1))


def row_norms(rows: Tensor) -> Tensor:
    """Return the length of each row."""
    return ops.sqrt(ops.sum(ops.square(rows), axis=-1))
