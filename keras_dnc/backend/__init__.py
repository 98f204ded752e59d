"""Loops, buffers and hand-written gradients, which `keras.ops` lacks.

`keras.ops.custom_gradient` does not suffice: on PyTorch its functions have one output
only, on none may the forward pass keep buffers or nested structures for the gradient,
and it cannot know whether a gradient is to be expected, so that it would store the
residuals of a whole sequence for a prediction. `keras.ops.while_loop` has no buffers to
write to by index, and no backend's vjp is part of `keras.ops`.

Values are flat lists of tensors. Each function here calls the function of its name in
`tensorflow`, `jax` or `torch`; `keras_internals` holds every private name of Keras and
TensorFlow that the package relies on.
"""

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras

from keras_dnc.typing import Buffer
from keras_dnc.typing import Tensor
from keras_dnc.typing import TensorFunction
from keras_dnc.typing import Tensors


@functools.cache
def _backend() -> ModuleType:
    return importlib.import_module(f"{__name__}.{keras.backend.backend()}")


def loop(count: Tensor, body: Callable[[Tensor, Any], Any], carry: Any) -> Any:
    """Run `carry = body(index, carry)` for each index below `count`.

    Args:
        count: An integer, or a scalar integer tensor.
        body: Function of an index and the carry that returns a carry of the same
            structure.
        carry: Nested lists and tuples of tensors and of buffers.

    Returns:
        The last carry.
    """
    return body(0, carry) if _is_one(count) else _backend().loop(count, body, carry)


def _is_one(count: Tensor) -> bool:
    return isinstance(count, int) and count == 1


def buffer(size: Tensor, like: Tensor) -> Buffer:
    """Return a buffer for `size` tensors of the shape and type of `like`."""
    return _backend().buffer(size, like)


def write(buffer: Buffer, index: Tensor, value: Tensor) -> Buffer:
    """Return the buffer with `value` at `index`; the old buffer must not be used."""
    return _backend().write(buffer, index, value)


def read(buffer: Buffer, index: Tensor) -> Tensor:
    """Return the tensor at `index` of the buffer."""
    return _backend().read(buffer, index)


def stack(buffer: Buffer) -> Tensor:
    """Return all tensors of the buffer, `(size, ...)`; each must have been written."""
    return _backend().stack(buffer)


def buffers(size: Tensor, tensors: Tensors) -> list[Buffer]:
    """Return one buffer of `size` for each of `tensors`, of its shape and type."""
    return [buffer(size, tensor) for tensor in tensors]


def write_all(buffers: list[Buffer], index: Tensor, values: Tensors) -> list[Buffer]:
    """Write each of `values` at `index` of its buffer; return the new buffers."""
    return [write(b, index, value) for b, value in zip(buffers, values, strict=True)]


def read_all(buffers: list[Buffer], index: Tensor) -> Tensors:
    """Return the tensors at `index` of the buffers."""
    return [read(buffer, index) for buffer in buffers]


def vjp(function: TensorFunction, tensors: Tensors, gradients: Tensors) -> Tensors:
    """Back-propagate through `function`.

    Args:
        function: From a list of tensors to a list of tensors.
        tensors: Its arguments, all of floating point.
        gradients: Gradients of the loss with respect to each of its outputs.

    Returns:
        Gradients of the loss with respect to each of `tensors`.
    """
    return _backend().vjp(function, tensors, gradients)


def with_gradient(
    forward: Callable[[Tensors, bool], tuple[Tensors, Any]],
    backward: Callable[[Tensors, Any, Tensors], list[Tensor | None]],
    save: bool = True,
) -> TensorFunction:
    """Return a function with a hand-written gradient.

    Args:
        forward: From a list of tensors and `save` to `(outputs, saved)`: a list of
            tensors, and any nested structure of tensors and buffers for `backward`.
        backward: From the list of tensors, `saved` and the gradients of the outputs to
            a list of gradients, `None` where there is none.
        save: Whether a gradient is expected. If not, `forward` runs without saving,
            and a second time where a gradient is taken all the same.

    Returns:
        Function from a list of tensors to the list of outputs.
    """
    return _backend().with_gradient(forward, backward, save)


def take_rows(table: Tensor, rows: Tensor, sparse_gradient: bool) -> Tensor:
    """Return rows of a weight.

    Args:
        table: Weight, `(size, ...)`.
        rows: Integers below `size`, any shape; they may repeat.
        sparse_gradient: Whether the weight's gradient holds these rows alone, in the
            backend's own form, where it has one.

    Returns:
        `(shape of rows, ...)`.
    """
    return _backend().take_rows(table, rows, sparse_gradient)


def has_sparse_gradients() -> bool:
    """Return whether a gradient can hold a few rows of a weight and no others."""
    return _backend().HAS_SPARSE_GRADIENTS


def rows_of_gradient(gradient: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the rows and values of a sparse gradient.

    Returns:
        `(rows, values)`, `(count,)` and `(count, ...)`; rows may repeat, and the
        gradient is the sum of all. `None` if the gradient is not sparse.
    """
    return _backend().rows_of_gradient(gradient)


def assign_rows(variable: keras.Variable, rows: Tensor, values: Tensor) -> None:
    """Set rows of a variable in place; a row that repeats must get equal values."""
    _backend().assign_rows(variable, rows, values)


def is_compiled() -> bool:
    """Return whether XLA compiles what is computed now, and so edits in place."""
    return _backend().is_compiled()
