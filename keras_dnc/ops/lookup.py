"""Rows of a weight by index, with a dense or a sparse gradient."""

from keras_dnc import backend
from keras_dnc.typing import Tensor


def lookup(table: Tensor, rows: Tensor, sparse_gradient: bool = False) -> Tensor:
    """Return rows of a weight.

    Args:
        table: Weight, `(size, ...)`.
        rows: Indices from 0 to `size - 1`, of any shape; they may repeat.
        sparse_gradient: Whether the gradient with respect to the weight contains these
            rows only, in the sparse form of the backend. It is ignored on JAX, which
            has none. Defaults to `False`.

    Returns:
        Tensor `(*rows.shape, ...)`.
    """
    return backend.take_rows(table, rows, sparse_gradient)


def has_sparse_gradients() -> bool:
    """Return whether the backend has gradients that contain a few rows of a weight.

    Returns:
        True on TensorFlow and PyTorch, false on JAX.
    """
    return backend.has_sparse_gradients()
