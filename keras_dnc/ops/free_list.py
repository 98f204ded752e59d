r"""The order of free slots, with the gradient written by hand.

$$P_j = \prod_{k \text{ before } j} (1 - \phi_k)$$

where $\phi$ is how free each slot is, and a slot comes before another when it is freer,
or equally free and of a lower index. The product is taken by comparing all pairs: a
sort and its inverse are slower than N x N comparisons on every backend up to some
thousand slots, and the links of the DNC are N x N in any case. `plain_product_before`
and `product_before` return the same numbers.
"""

from keras import ops

from keras_dnc.ops.residuals import keep_output
from keras_dnc.typing import Tensor


def plain_product_before(freeness: Tensor) -> Tensor:
    """Return what `product_before` does, its gradient left to the backend.

    Args:
        freeness: `(batch, memory_size)`, in [0, 1).

    Returns:
        `(batch, memory_size)`, in [0, 1].
    """
    before = _before(ops.expand_dims(freeness, 2), ops.expand_dims(freeness, 1), 1)
    log_usage = ops.expand_dims(ops.log(1.0 - freeness), 2)
    return ops.exp(ops.sum(ops.where(before, log_usage, 0.0), axis=1))


def product_before(freeness: Tensor) -> Tensor:
    """Multiply, for each slot, the usage of the slots before it.

    The product is a residual: it takes N x N comparisons, and its gradient needs it.

    Args:
        freeness: `(batch, memory_size)`, in [0, 1).

    Returns:
        `(batch, memory_size)`, in [0, 1].
    """
    return keep_output(
        "free_list",
        lambda tensors: plain_product_before(*tensors),
        _product_gradient,
        [freeness],
    )


def _product_gradient(tensors, product, gradient):
    (freeness,) = tensors
    # Slots stand the other way round, so that the sum runs over an outer axis again.
    before = _before(ops.expand_dims(freeness, 1), ops.expand_dims(freeness, 2), 2)
    by_log_product = ops.expand_dims(gradient * product, 2)
    by_log_usage = ops.sum(ops.where(before, by_log_product, 0.0), axis=1)
    return [-by_log_usage / (1.0 - freeness)]


def _before(first, second, first_axis):
    """Return whether the slot of `first` comes before that of `second`, all pairs."""
    size = first.shape[first_axis]
    slots = ops.arange(size)
    shape = (size, 1) if first_axis == 1 else (1, size)
    lower_index = ops.reshape(slots, shape) < ops.reshape(slots, shape[::-1])
    return (first > second) | ((first == second) & lower_index)
