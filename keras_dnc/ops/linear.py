r"""Products of rows and kernels, whose weight gradients can be deferred.

With rows $x_t$, kernels K and output $y_t = x_t K + b$, the gradient with respect to K
is $\sum_t x_t^\top \partial y_t$. Computed step by step, it passes over an array of the
size of the weights at every step. Back-propagation through time instead keeps $x_t$ and
$\partial y_t$ of a chunk of steps, and multiplies them once after the chunk:

- A scope of `collecting` lists the products of a step.
- In a scope of `deferring`, a zero that is added to the output, the tap, receives
  $\partial y_t$, and the scope returns $x_t$.

Outside both, `linear` is a product with a hand-written gradient. It multiplies by the
concatenation of the transposed kernels, which XLA transposes once, before the loop over
time; those of two separate products it would transpose at every step.
"""

import contextlib
import contextvars
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc import backend
from keras_dnc.typing import Tensor, Tensors


class Product(NamedTuple):
    """One use of `linear` in a step.

    Attributes:
        kernels: The variables `(size, units)`.
        bias: The variable `(units,)`, or `None`.
        size: Numbers in a row, the sum of the sizes of the kernels.
        units: Numbers in the output.
        dtype: Dtype of rows and output.
    """

    kernels: list[keras.Variable]
    bias: keras.Variable | None
    size: int
    units: int
    dtype: str


class _Scope(NamedTuple):
    """The products of one run of a step, in their order.

    Attributes:
        products: List of `Product`; filled by `collecting`.
        taps: Zeros to be added to each output; `None` in a scope of `collecting`.
        rows: List of the rows of each product; filled by `deferring`.
    """

    products: list[Product]
    taps: Tensors | None
    rows: Tensors


_SCOPE: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar(
    "products", default=None
)


@contextlib.contextmanager
def _entered(scope: _Scope, result: Any) -> Iterator[Any]:
    """Make a scope the current one, and yield `result`."""
    token = _SCOPE.set(scope)
    try:
        yield result
    finally:
        _SCOPE.reset(token)


def collecting() -> contextlib.AbstractContextManager[list[Product]]:
    """Return a scope that lists the products of a step.

    Returns:
        Context manager whose value is a list of `Product`, filled while the step runs.
    """
    scope = _Scope([], None, [])
    return _entered(scope, scope.products)


def deferring(taps: Tensors) -> contextlib.AbstractContextManager[Tensors]:
    """Return a scope that adds a tap to the output of each product of a step.

    Args:
        taps: Zeros `(batch, units)`, one for each product, in the order of
            `collecting`; an empty list defers nothing.

    Returns:
        Context manager whose value is the list of the rows `(batch, size)` of each
        product, filled while the step runs.
    """
    scope = _Scope([], taps, [])
    return _entered(scope, scope.rows)


def linear(
    rows: Tensors, kernels: list[keras.Variable], bias: keras.Variable | None = None
) -> Tensor:
    """Multiply rows by kernels, and add the products and a bias.

    Args:
        rows: List of tensors `(batch, size)`.
        kernels: List of variables `(size, units)`, one for each of `rows`.
        bias: Variable `(units,)`, or `None`. Defaults to `None`.

    Returns:
        `(batch, units)`.
    """
    joined = _joined(rows, axis=1)
    variables = kernels if bias is None else [*kernels, bias]
    tensors = [ops.cast(variable.value, joined.dtype) for variable in variables]
    (output,) = backend.with_gradient(_product, _gradient)([joined, *tensors])
    return _tapped(output, joined, kernels, bias)


def _tapped(
    output: Tensor,
    rows: Tensor,
    kernels: list[keras.Variable],
    bias: keras.Variable | None,
) -> Tensor:
    """Do what the current scope does with a product; return its output."""
    scope = _SCOPE.get()
    if scope is None or scope.taps == []:
        return output
    if scope.taps is None:
        size, dtype = rows.shape[1], keras.backend.standardize_dtype(rows.dtype)
        product = Product(kernels, bias, size, output.shape[1], dtype)
        scope.products.append(product)
        return output
    scope.rows.append(rows)
    return output + scope.taps[len(scope.rows) - 1]


def _product(tensors: Tensors, save: bool) -> tuple[Tensors, tuple[()]]:
    """Multiply rows by the concatenated kernels, and add the bias if there is one."""
    rows, kernels, biases = _sorted(tensors)
    return [sum(biases, start=ops.matmul(rows, _joined(kernels, axis=0)))], ()


def _gradient(tensors: Tensors, saved: Any, gradients: Tensors) -> Tensors:
    """Return the gradients with respect to rows, kernels and bias."""
    rows, kernels, biases = _sorted(tensors)
    gradient = gradients[0]
    columns = _joined([ops.transpose(kernel) for kernel in kernels], axis=1)
    sizes = [kernel.shape[0] for kernel in kernels]
    weights = weight_gradients(rows, gradient, sizes, has_bias=bool(biases))
    return [ops.matmul(gradient, columns), *weights]


def _sorted(tensors: Tensors) -> tuple[Tensor, Tensors, Tensors]:
    """Return the rows, the kernels, and a list of the bias if there is one."""
    rows, *others = tensors
    kernels = [tensor for tensor in others if len(tensor.shape) == 2]
    return rows, kernels, others[len(kernels) :]


def _joined(tensors: Tensors, axis: int) -> Tensor:
    """Concatenate tensors, unless there is one alone."""
    return tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=axis)


def weight_gradients(
    rows: Tensor, gradient: Tensor, sizes: list[int], has_bias: bool
) -> Tensors:
    """Return the gradients of a product with respect to its kernels and its bias.

    Args:
        rows: `(batch, size)`.
        gradient: `(batch, units)`, the gradient with respect to the output.
        sizes: Rows of each kernel; their sum is `size`.
        has_bias: Whether there is a bias.

    Returns:
        List of `(size, units)` for each kernel and of `(units,)` for the bias.
    """
    ends = list(itertools.accumulate(sizes))[:-1]
    parts = ops.split(rows, ends, axis=1) if ends else [rows]
    kernels = [ops.matmul(ops.transpose(part), gradient) for part in parts]
    return [*kernels, ops.sum(gradient, axis=0)] if has_bias else kernels
