"""Two matrix products as one, with a gradient that XLA hoists out of the time loop.

The gradient multiplies by transposed kernels that stand side by side: XLA transposes
those once, before the loop over time, where it otherwise does so at every step.
"""

from keras import ops

from keras_dnc import backend


def joint_product(a, b, a_kernel, b_kernel):
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


def _product(tensors, save):
    a, b, a_kernel, b_kernel = tensors
    rows = ops.concatenate([a, b], axis=1)
    return [ops.matmul(rows, ops.concatenate([a_kernel, b_kernel], axis=0))], ()


def _product_gradient(tensors, saved, gradients):
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
