"""Loops, buffers and hand-written gradients, which `keras.ops` lacks.

`keras.ops.custom_gradient` does not suffice. On PyTorch its functions have one output
only. On no backend may the forward pass keep buffers or nested structures for the
gradient. It does not know whether a gradient is expected, and would store the residuals
of a whole sequence during inference. `keras.ops.while_loop` has no buffers to write to
by index, and `keras.ops` has no vector-Jacobian product.

Values are flat lists of tensors. Each function here calls the function of the same name
in `tensorflow`, `jax` or `torch`. `keras_internals` contains every private name of
Keras and TensorFlow that the package relies on.
"""

import contextlib
import contextvars
import functools
import importlib
from collections.abc import Callable, Hashable, Iterator
from types import ModuleType
from typing import Any, TypeVar

import keras

from keras_dnc.typing import Buffer, Shape, Tensor, TensorFunction, Tensors

Function = TypeVar("Function", bound=Callable)


@functools.cache
def _backend() -> ModuleType:
    """Import the module of the backend that Keras runs on."""
    return importlib.import_module(f"{__name__}.{keras.backend.backend()}")


def loop(count: Tensor, body: Callable[[Tensor, Any], Any], carry: Any) -> Any:
    """Run `carry = body(index, carry)` for each index from 0 to `count - 1`.

    Args:
        count: Number of iterations, an integer or a scalar integer tensor.
        body: Function of an index and the carry that returns a carry of the same
            structure, shapes and dtypes.
        carry: Nested lists and tuples of tensors and buffers.

    Returns:
        The carry after the last iteration.

    Example:
        >>> from keras import ops
        >>> one = ops.convert_to_tensor(1.0)
        >>> float(loop(4, lambda index, total: total + 2.0, one))
        9.0
    """
    return body(0, carry) if _is_one(count) else _backend().loop(count, body, carry)


def _is_one(count: Tensor) -> bool:
    """Return whether the number of iterations is statically 1."""
    return isinstance(count, int) and count == 1


def buffer(size: Tensor, like: Tensor) -> Buffer:
    """Return a buffer for tensors of one shape and dtype.

    Args:
        size: Number of tensors, an integer or a scalar integer tensor.
        like: Tensor with the shape and dtype of each entry; its values are not used.

    Returns:
        Buffer of `size` entries, to be written with `write`.

    Example:
        >>> from keras import ops
        >>> entries = buffer(2, like=ops.zeros((3,)))
        >>> entries = write(entries, 0, ops.ones((3,)))
        >>> entries = write(entries, 1, ops.zeros((3,)))
        >>> ops.convert_to_numpy(stack(entries)).tolist()
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    return _backend().buffer(size, like)


def write(buffer: Buffer, index: Tensor, value: Tensor) -> Buffer:
    """Return the buffer with a new entry; the old buffer must not be used any more.

    Args:
        buffer: Buffer of `size` entries.
        index: Integer from 0 to `size - 1`. On TensorFlow each index may be written
            once.
        value: Tensor of the shape and dtype of the entries.

    Returns:
        The buffer with `value` at `index`.
    """
    return _backend().write(buffer, index, value)


def read(buffer: Buffer, index: Tensor) -> Tensor:
    """Return one entry of a buffer.

    Args:
        buffer: Buffer of `size` entries.
        index: Integer from 0 to `size - 1` that has been written.

    Returns:
        The tensor at `index`.
    """
    return _backend().read(buffer, index)


def stack(buffer: Buffer) -> Tensor:
    """Return all entries of a buffer as one tensor.

    Args:
        buffer: Buffer of `size` entries, all of which have been written.

    Returns:
        Tensor `(size, ...)`.
    """
    return _backend().stack(buffer)


def buffers(size: Tensor, tensors: Tensors) -> list[Buffer]:
    """Return one buffer for each of several tensors.

    Args:
        size: Number of entries of each buffer, an integer or a scalar integer tensor.
        tensors: Tensors with the shapes and dtypes of the entries.

    Returns:
        List with one buffer per tensor.
    """
    return [buffer(size, tensor) for tensor in tensors]


def write_all(buffers: list[Buffer], index: Tensor, values: Tensors) -> list[Buffer]:
    """Write one value to each of several buffers.

    Args:
        buffers: Buffers of `size` entries; they must not be used any more.
        index: Integer from 0 to `size - 1`.
        values: One tensor for each buffer.

    Returns:
        List of the new buffers.
    """
    return [write(b, index, value) for b, value in zip(buffers, values, strict=True)]


def read_all(buffers: list[Buffer], index: Tensor) -> Tensors:
    """Return one entry of each of several buffers.

    Args:
        buffers: Buffers of `size` entries.
        index: Integer from 0 to `size - 1` that has been written in each buffer.

    Returns:
        List with the tensor at `index` of each buffer.
    """
    return [read(buffer, index) for buffer in buffers]


def vjp(
    function: Callable[[Tensors], tuple[Tensors, Tensors]],
    tensors: Tensors,
    gradients: Tensors,
) -> tuple[Tensors, Tensors]:
    """Compute the vector-Jacobian product of a function.

    Args:
        function: Function from a list of tensors to `(outputs, others)`: the list of
            its outputs, and a list of tensors that are returned as they are.
        tensors: Arguments of the function, all of floating-point dtypes.
        gradients: Gradients of the loss with respect to each of `outputs`.

    Returns:
        `(gradients, others)`: the list of the gradients of the loss with respect to
        each of `tensors`, zeros for a tensor that no output depends on; and `others`.

    Example:
        >>> from keras import ops
        >>> square = lambda tensors: ([tensors[0] ** 2], [])
        >>> three, one = ops.convert_to_tensor(3.0), ops.convert_to_tensor(1.0)
        >>> [float(gradient) for gradient in vjp(square, [three], [one])[0]]
        [6.0]
    """
    return _backend().vjp(function, tensors, gradients)


def infer(function: Callable[[Tensors], Any], shapes: list[Shape], dtype: str) -> Any:
    """Infer the shapes and dtypes of a function's outputs.

    `keras.Layer.compute_output_spec` hides the values of variables that a surrounding
    `keras.StatelessScope` holds, which Keras's `fit` on JAX relies on.

    Args:
        function: From a list of tensors to nested tensors.
        shapes: Shapes of its arguments.
        dtype: Dtype of its arguments.

    Returns:
        The nested outputs, as objects with a `shape` and a `dtype`.
    """
    return _backend().infer(function, shapes, dtype)


def with_gradient(
    forward: Callable[[Tensors, bool], tuple[Tensors, Any]],
    backward: Callable[[Tensors, Any, Tensors], list[Tensor | None]],
    save: bool = True,
    second_order: bool = True,
) -> TensorFunction:
    """Return a function with a hand-written gradient.

    The gradient of the gradient is that of `backward`. On TensorFlow `saved` is a
    constant of it, on JAX it is not, and on PyTorch there is none: who asks for it gets
    a `NotImplementedError`.

    Args:
        forward: Function of a list of tensors and of `save` that returns
            `(outputs, saved)`: a list of tensors, and a nested structure of tensors and
            buffers for `backward`. If its argument `save` is false, `saved` is not used
            and may be `None`.
        backward: Function of the list of tensors, `saved` and the list of gradients
            with respect to the outputs. It returns a list of gradients with respect to
            the tensors, `None` for a tensor without a gradient.
        save: Whether a gradient is expected. If false, `forward` runs without saving;
            if a gradient is computed nevertheless, `forward` runs a second time. On JAX
            `forward` saves if and only if a gradient is computed. Defaults to `True`.
        second_order: Whether the gradient of the gradient is right with `saved` as a
            constant. If false, it raises a `NotImplementedError` on TensorFlow.
            Defaults to `True`.

    Returns:
        Function from a list of tensors to the list of outputs.

    Example:
        >>> from keras import ops
        >>> clipped = with_gradient(
        ...     lambda tensors, save: ([tensors[0] * 2.0], None),
        ...     lambda tensors, saved, gradients: [ops.clip(gradients[0], -1.0, 1.0)],
        ... )
        >>> three, five = ops.convert_to_tensor(3.0), ops.convert_to_tensor(5.0)
        >>> clipped_alone = lambda tensors: (clipped(tensors), [])
        >>> float(clipped([three])[0]), float(vjp(clipped_alone, [three], [five])[0][0])
        (6.0, 1.0)
    """
    if _FORWARD_ONLY.get():
        return lambda tensors: list(forward(tensors, False)[0])
    return _backend().with_gradient(forward, backward, save, second_order)


_FORWARD_ONLY = contextvars.ContextVar("forward_only", default=False)


@contextlib.contextmanager
def forward_only() -> Iterator[None]:
    """Leave hand-written gradients out of the functions that are made inside.

    A SavedModel cannot hold those in a loop, and TensorFlow warns of each when it loads
    the file. The gradient of the operations of the forward pass may differ from them.

    Example:
        >>> from keras import ops
        >>> function = lambda tensors, save: ([tensors[0] * 2.0], None)
        >>> with forward_only():
        ...     double = with_gradient(function, backward=None)
        >>> float(double([ops.convert_to_tensor(3.0)])[0])
        6.0
    """
    token = _FORWARD_ONLY.set(True)
    try:
        yield
    finally:
        _FORWARD_ONLY.reset(token)


ONCE = (
    "A gradient of a gradient is not available here. Use `keras.layers.RNN(cell)` or "
    "`keras_dnc.MemoryRNN(cell, recompute=0)`, whose gradients are the backend's own."
)


def take_rows(table: Tensor, rows: Tensor, sparse_gradient: bool) -> Tensor:
    """Return rows of a weight.

    Args:
        table: Weight `(size, ...)`.
        rows: Indices from 0 to `size - 1`, of any shape; they may repeat.
        sparse_gradient: Whether the gradient with respect to the weight contains these
            rows only, in the sparse form of the backend. It is ignored on JAX, which
            has none.

    Returns:
        Tensor `(*rows.shape, ...)`.

    Example:
        >>> from keras import ops
        >>> table = ops.reshape(ops.arange(6), (3, 2))
        >>> ops.convert_to_numpy(take_rows(table, [2, 0], False)).tolist()
        [[4, 5], [0, 1]]
    """
    return _backend().take_rows(table, rows, sparse_gradient)


def stable_top_k(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the largest values of the last axis; of equal ones, the first.

    `keras.ops.top_k` picks any of several equal values on PyTorch.

    Args:
        values: `(..., n)`.
        count: Number of values, at most n.

    Returns:
        `(values, indices)`, each `(..., count)`, in falling order.

    Example:
        >>> from keras import ops
        >>> _, indices = stable_top_k(ops.convert_to_tensor([0.0, 2.0, 0.0, 0.0]), 3)
        >>> ops.convert_to_numpy(indices).tolist()
        [1, 0, 2]
    """
    return _backend().stable_top_k(values, count)


def has_sparse_gradients() -> bool:
    """Return whether the backend has gradients that contain a few rows of a weight.

    Returns:
        True on TensorFlow and PyTorch, false on JAX.
    """
    return _backend().HAS_SPARSE_GRADIENTS


def rows_of_gradient(gradient: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the rows and values of a sparse gradient.

    Args:
        gradient: Gradient with respect to a weight `(size, ...)`.

    Returns:
        `(rows, values)`, `(count,)` and `(count, ...)`, or `None` if the gradient is
        dense. Rows may repeat; the gradient of a row is the sum of all its values.
    """
    return _backend().rows_of_gradient(gradient)


def assign_rows(variable: keras.Variable, rows: Tensor, values: Tensor) -> None:
    """Assign new values to rows of a variable in place.

    Args:
        variable: Variable `(size, ...)`.
        rows: `(count,)`, indices from 0 to `size - 1`; they may repeat if the values of
            a repeated row are equal.
        values: `(count, ...)`, new values of the rows.
    """
    _backend().assign_rows(variable, rows, values)


def not_compiled(function: Function) -> Function:
    """Return a function that `torch.compile` leaves as it is.

    `torch.compile` unrolls a recurrence, and compiles every step of it for minutes.

    Args:
        function: Any function or method.

    Returns:
        On PyTorch, a function that runs eagerly, with all that it calls, except that
        graphs of `traced` are compiled; on the other backends, `function`.

    Example:
        >>> not_compiled(max)(2, 3)
        3
    """
    return _backend().not_compiled(function)


TRACED_ATTRIBUTE = "_keras_dnc_traced"  # of the owner of a traced function


def traced(
    function: Callable[..., Any], owner: Any, key: Hashable
) -> Callable[..., Any]:
    """Return a function that PyTorch runs as a graph, without the Python of Keras.

    Args:
        function: Function of lists of tensors that returns nested lists and tuples of
            tensors and of `None`. It has no side effects.
        owner: Object that keeps the graphs as long as it lives.
        key: Everything that the operations of the function depend on, but for the
            shapes and dtypes of the tensors.

    Returns:
        On PyTorch, a function that is traced once it has been called often enough; on
        the other backends, `function`. Every call must have lists of the same lengths,
        and tensors of the same shapes and dtypes; other ones need another `traced`.

    Example:
        >>> from keras import ops
        >>> class Owner:
        ...     pass
        >>> double = traced(lambda tensors: [tensors[0] * 2.0], Owner(), key="double")
        >>> float(double([ops.convert_to_tensor(3.0)])[0])
        6.0
    """
    if not is_eager():
        return function
    return _backend().traced(function, owner, key)


def is_eager() -> bool:
    """Return whether the backend runs operations one by one, as Python comes to them.

    What is fast then differs from what is fast under XLA.

    Returns:
        True on PyTorch, false on TensorFlow and JAX.
    """
    return keras.backend.backend() == "torch"


def is_compiled() -> bool:
    """Return whether XLA compiles the present computation and updates tensors in place.

    Returns:
        True on JAX, false on PyTorch; on TensorFlow, true while a function with
        `jit_compile=True` is traced.
    """
    return _backend().is_compiled()


def is_plain_graph() -> bool:
    """Return whether a TensorFlow graph is being traced that XLA does not compile.

    Returns:
        False in eager execution and on the other backends, and within the strategies of
        `tf.distribute`, which do not work with XLA.
    """
    return _backend().is_plain_graph()


def num_replicas() -> int:
    """Return the number of devices whose losses are added up for one update.

    Returns:
        The replicas of the strategy of `tf.distribute` in whose scope this is called; 1
        without a strategy, and on the other backends.

    Example:
        >>> num_replicas()
        1
    """
    return _backend().num_replicas()
