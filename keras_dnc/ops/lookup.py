"""Rows of a weight by their numbers, with a dense or a sparse gradient."""

from keras_dnc import backend
from keras_dnc.typing import Tensor


def lookup(table: Tensor, rows: Tensor, sparse_gradient: bool = False) -> Tensor:
    """Return rows of a weight.

    Args:
        table: Weight, `(size, ...)`.
        rows: Integers below `size`, any shape; they may repeat.
        sparse_gradient: Whether the weight's gradient holds these rows alone, in the
            backend's own form, where it has one. Defaults to `False`.

    Returns:
        `(shape of rows, ...)`.
    """
    return backend.take_rows(table, rows, sparse_gradient)


def has_sparse_gradients() -> bool:
    """Return whether a gradient can hold a few rows of a weight and no others."""
    return backend.has_sparse_gradients()
