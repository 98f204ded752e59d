r"""The product over the DNC's free list, with a hand-written gradient.

$$P_j = \prod_{k \text{ before } j} (1 - \phi_k)$$

where $\phi$ is the freeness of each slot, 1 minus its usage. Slot k comes before slot j
if it is freer, or equally free with a lower index. The product compares all pairs of
slots: under XLA, a sort and its inverse are slower than N x N comparisons up to some
thousand slots, and the links of the DNC are N x N in any case. PyTorch sorts, as its
comparisons of 256 slots take several times as long. `plain_product_before` and
`product_before` return the same values.
"""

from keras import ops

from keras_dnc import backend
from keras_dnc.ops.residuals import keep_output
from keras_dnc.typing import Tensor, Tensors


def plain_product_before(freeness: Tensor) -> Tensor:
    """Compute, for each slot, the product of the usage of the slots before it.

    The reference for `product_before`: its gradient is left to the backend.

    Args:
        freeness: `(batch, memory_size)`, in [0, 1).

    Returns:
        `(batch, memory_size)`, in [0, 1].
    """
    before = _before(ops.expand_dims(freeness, 2), ops.expand_dims(freeness, 1), 1)
    log_usage = ops.expand_dims(ops.log(1.0 - freeness), 2)
    return ops.exp(ops.sum(ops.where(before, log_usage, 0.0), axis=1))


def product_before(freeness: Tensor) -> Tensor:
    """Compute, for each slot, the product of the usage of the slots before it.

    The product is a residual, because computing it takes N x N comparisons and its
    gradient needs it.

    Args:
        freeness: `(batch, memory_size)`, in [0, 1).

    Returns:
        `(batch, memory_size)`, in [0, 1].
    """
    product = lambda tensors: plain_product_before(*tensors)  # noqa: E731
    gradient = _product_gradient
    if backend.is_eager():
        product, gradient = _sorted_product, _sorted_product_gradient
    return keep_output("free_list", product, gradient, [freeness])


def _sorted_product(tensors: Tensors) -> Tensor:
    """Compute the product with a sort."""
    (freeness,) = tensors
    _, order = backend.stable_top_k(freeness, freeness.shape[1])
    return ops.exp(_sums_before(ops.log(1.0 - freeness), order))


def _sorted_product_gradient(
    tensors: Tensors, product: Tensor, gradient: Tensor
) -> Tensors:
    """Return the gradient with respect to the freeness."""
    (freeness,) = tensors
    _, order = backend.stable_top_k(freeness, freeness.shape[1])
    by_log_usage = _sums_before(gradient * product, ops.flip(order, axis=1))
    return [-by_log_usage / (1.0 - freeness)]


def _sums_before(numbers: Tensor, order: Tensor) -> Tensor:
    """Sum, for each slot, the numbers of the slots before it in an order of slots.

    Args:
        numbers: `(batch, memory_size)`.
        order: `(batch, memory_size)`, indices of slots, the first one first.
    """
    sums = ops.cumsum(ops.take_along_axis(numbers, order, axis=1), axis=1)
    before = ops.pad(sums[:, :-1], [[0, 0], [1, 0]])
    return ops.take_along_axis(before, ops.argsort(order, axis=1), axis=1)


def _product_gradient(tensors: Tensors, product: Tensor, gradient: Tensor) -> Tensors:
    """Return the gradient with respect to the freeness."""
    (freeness,) = tensors
    # With the axes of both slots swapped, the sum runs over an outer axis again.
    before = _before(ops.expand_dims(freeness, 1), ops.expand_dims(freeness, 2), 2)
    by_log_product = ops.expand_dims(gradient * product, 2)
    by_log_usage = ops.sum(ops.where(before, by_log_product, 0.0), axis=1)
    return [-by_log_usage / (1.0 - freeness)]


def _before(first: Tensor, second: Tensor, first_axis: int) -> Tensor:
    """Return for all pairs whether the slot of `first` comes before that of `second`.

    Args:
        first: Freeness along axis `first_axis`, 1 or 2; the other of them has size 1.
        second: The same freeness along the other axis.
        first_axis: Axis of the slots of `first`.
    """
    size = first.shape[first_axis]
    slots = ops.arange(size)
    shape = (size, 1) if first_axis == 1 else (1, size)
    lower_index = ops.reshape(slots, shape) < ops.reshape(slots, shape[::-1])
    return (first > second) | ((first == second) & lower_index)
