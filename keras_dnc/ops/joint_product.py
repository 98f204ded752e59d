"""Two matrix products as one, whose gradient transposes the kernels once per sequence.

The gradient multiplies by the concatenation of the transposed kernels. XLA moves this
transposition out of the loop over time; those of two separate products it would repeat
at every step.
"""

from typing import Any

from keras import ops

from keras_dnc import backend
from keras_dnc.typing import Tensor, Tensors


def joint_product(a: Tensor, b: Tensor, a_kernel: Tensor, b_kernel: Tensor) -> Tensor:
    """Return `a @ a_kernel + b @ b_kernel`.

    Args:
        a: `(batch, a_size)`.
        b: `(batch, b_size)`.
        a_kernel: `(a_size, units)`.
        b_kernel: `(b_size, units)`.

    Returns:
        `(batch, units)`.
    """
    product = backend.with_gradient(_product, _product_gradient, save=True)
    tensors = [ops.convert_to_tensor(tensor) for tensor in (a, b, a_kernel, b_kernel)]
    return product(tensors)[0]


def _product(tensors: Tensors, save: bool) -> tuple[Tensors, tuple[()]]:
    """Multiply the concatenated rows by the concatenated kernels."""
    a, b, a_kernel, b_kernel = tensors
    rows = ops.concatenate([a, b], axis=1)
    return [ops.matmul(rows, ops.concatenate([a_kernel, b_kernel], axis=0))], ()


def _product_gradient(tensors: Tensors, saved: Any, gradients: Tensors) -> Tensors:
    """Return the gradients with respect to both factors of both products."""
    a, b, a_kernel, b_kernel = tensors
    columns = [ops.transpose(a_kernel), ops.transpose(b_kernel)]
    by_rows = ops.matmul(gradients[0], ops.concatenate(columns, axis=1))
    width = a.shape[1]
    return [
        by_rows[:, :width],
        by_rows[:, width:],
        ops.matmul(ops.transpose(a), gradients[0]),
        ops.matmul(ops.transpose(b), gradients[0]),
    ]
