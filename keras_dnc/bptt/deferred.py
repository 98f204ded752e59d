"""Weight gradients that are computed once for all steps of a chunk.

The backward loop keeps the factors of each deferred product of `ops.linear`, its rows
and the gradient with respect to its output, for every step of a chunk. After the chunk,
one matrix product of these factors returns the gradient of a kernel.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc import backend
from keras_dnc.ops.linear import Product
from keras_dnc.ops.linear import weight_gradients
from keras_dnc.typing import Tensor, Tensors


class Deferred(NamedTuple):
    """A product of a step whose weight gradients are deferred.

    Attributes:
        weights: Indices of the kernels among the weights of the cell, and of the bias
            if there is one.
        sizes: Rows of each kernel.
        units: Numbers in the output.
        dtype: Dtype of rows and output.
    """

    weights: list[int]
    sizes: list[int]
    units: int
    dtype: str


class Factors(NamedTuple):
    """The factors of the weight gradients of a product, or buffers of them.

    Attributes:
        rows: `(batch, size)`, the rows that were multiplied.
        gradient: `(batch, units)`, the gradient with respect to the output.
    """

    rows: Any
    gradient: Any


def deferred_products(
    products: list[Product],
    variables: list[keras.Variable],
    reads: dict[int, int],
) -> list[Deferred]:
    """Return the products whose weight gradients can be deferred.

    These are all, unless a step reads one of their weights elsewhere too, or a weight
    is not trained.

    Args:
        products: The products of a step, in their order.
        variables: The trainable variables of the cell.
        reads: How often a step reads each variable, by `id`.

    Returns:
        List of `Deferred`, one for each product; empty if one of them cannot wait.
    """
    indices = {id(variable): index for index, variable in enumerate(variables)}
    used = [id(weight) for product in products for weight in _weights(product)]
    for product in products:
        for weight in _weights(product):
            if reads.get(id(weight)) != used.count(id(weight)):
                return []
    return [
        Deferred(
            [indices[id(weight)] for weight in _weights(product)],
            [kernel.shape[0] for kernel in product.kernels],
            product.units,
            product.dtype,
        )
        for product in products
    ]


def _weights(product: Product) -> list[keras.Variable]:
    """Return the kernels, and the bias if there is one."""
    return [*product.kernels, *([] if product.bias is None else [product.bias])]


def at_every_step(count: int, deferred: list[Deferred]) -> list[int]:
    """Return the indices of the weights whose gradient is computed at every step.

    Args:
        count: Number of weights.
        deferred: List of `Deferred`.
    """
    waiting = {index for product in deferred for index in product.weights}
    return [index for index in range(count) if index not in waiting]


def zero_taps(deferred: list[Deferred], batch: Tensor) -> Tensors:
    """Return zeros `(batch, units)`, to be added to the output of each product."""
    return [ops.zeros((batch, product.units), product.dtype) for product in deferred]


def factor_buffers(
    deferred: list[Deferred], steps: Tensor, batch: Tensor
) -> list[Factors]:
    """Return buffers for the factors of each product at every step of a chunk.

    Args:
        deferred: List of `Deferred`.
        steps: Number of steps.
        batch: Sequences in the batch.
    """

    def empty(product: Deferred) -> Iterator[Any]:
        for size in (sum(product.sizes), product.units):
            yield backend.buffer(steps, ops.zeros((batch, size), product.dtype))

    return [Factors(*empty(product)) for product in deferred]


def write_factors(
    buffers: list[Factors], position: Tensor, new: list[Factors]
) -> list[Factors]:
    """Write the factors of a step to buffers, and return the buffers."""
    return [
        Factors(*backend.write_all(list(old), position, list(factors)))
        for old, factors in zip(buffers, new, strict=True)
    ]


def multiply_factors(
    deferred: list[Deferred], buffers: list[Factors], weights: Tensors
) -> list[Tensor | None]:
    """Return the gradients with respect to the weights of all products.

    Args:
        deferred: List of `Deferred`.
        buffers: Buffers of the factors; entries that were not written are zero.
        weights: The weights of the cell.

    Returns:
        List of tensors, `None` for a weight that is in no product.
    """
    found: list[Tensor | None] = [None] * len(weights)
    for product, factors in zip(deferred, buffers, strict=True):
        dtype = weights[product.weights[0]].dtype
        rows, gradient = (_all_rows(buffer, dtype) for buffer in factors)
        has_bias = len(product.weights) > len(product.sizes)
        new = weight_gradients(rows, gradient, product.sizes, has_bias)
        for index, tensor in zip(product.weights, new, strict=True):
            before = found[index]
            found[index] = tensor if before is None else before + tensor
    return found


def _all_rows(buffer: Any, dtype: Any) -> Tensor:
    """Return the entries `(batch, size)` of a buffer as `(time * batch, size)`."""
    entries = backend.stack(buffer)
    return ops.cast(ops.reshape(entries, (-1, entries.shape[-1])), dtype)
