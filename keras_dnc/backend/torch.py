"""The functions of `keras_dnc.backend` on PyTorch."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import keras
from keras import ops

from keras_dnc.backend import ONCE
from keras_dnc.backend.torch_graph import Traced
from keras_dnc.backend.torch_graph import with_compiled_graphs
from keras_dnc.typing import Buffer, Shape, Tensor, TensorFunction, Tensors

HAS_SPARSE_GRADIENTS = True


def take_rows(table: Tensor, rows: Tensor, sparse_gradient: bool) -> Tensor:
    import torch

    table, rows = ops.convert_to_tensor(table), ops.convert_to_tensor(rows)
    if not sparse_gradient:
        return table[rows]
    return torch.nn.functional.embedding(rows, table, sparse=True)


def stable_top_k(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    import torch

    values, indices = torch.sort(
        ops.convert_to_tensor(values), dim=-1, descending=True, stable=True
    )
    return values[..., :count], indices[..., :count]


def rows_of_gradient(gradient: Tensor) -> tuple[Tensor, Tensor] | None:
    if not gradient.is_sparse:
        return None
    return gradient._indices()[0], gradient._values()


def assign_rows(variable: keras.Variable, rows: Tensor, values: Tensor) -> None:
    import torch

    with torch.no_grad():
        variable.value[rows] = values


def not_compiled(function: Callable) -> Callable:
    import torch

    eager = torch.compiler.disable(function)
    eager_of_compiled_graphs = torch.compiler.disable(with_compiled_graphs(function))

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return eager_of_compiled_graphs(*args, **kwargs)
        return eager(*args, **kwargs)

    return run


def traced(function: Callable, owner: Any, key: Hashable) -> Callable:
    return Traced(function, owner, key)


def is_compiled() -> bool:
    return False


def is_plain_graph() -> bool:
    return False


def num_replicas() -> int:
    return 1


def loop(count: Tensor, body: Callable[[Tensor, Any], Any], carry: Any) -> Any:
    for index in range(count):
        carry = body(index, carry)
    return carry


def buffer(size: Tensor, like: Tensor) -> Buffer:
    return [None] * size


def write(buffer: Buffer, index: Tensor, value: Tensor) -> Buffer:
    buffer[index] = value
    return buffer


def read(buffer: Buffer, index: Tensor) -> Tensor:
    return buffer[index]


def stack(buffer: Buffer) -> Tensor:
    return ops.stack(buffer)


def vjp(
    function: Callable[[Tensors], tuple[Tensors, Tensors]],
    tensors: Tensors,
    gradients: Tensors,
) -> tuple[Tensors, Tensors]:
    import torch

    with torch.enable_grad():
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        outputs, others = function(tensors)
    pairs = [
        (output, gradient)
        for output, gradient in zip(outputs, gradients, strict=True)
        if output.requires_grad
    ]
    found = torch.autograd.grad(
        [output for output, _ in pairs],
        tensors,
        [gradient for _, gradient in pairs],
        allow_unused=True,
        materialize_grads=True,
    )
    return list(found), [other.detach() for other in others]


def infer(function: Callable[[Tensors], Any], shapes: list[Shape], dtype: str) -> Any:
    import torch

    with torch.no_grad():
        return function([ops.zeros(shape, dtype) for shape in shapes])


def with_gradient(
    forward: Callable, backward: Callable, save: bool, second_order: bool
) -> TensorFunction:
    apply = _torch_function().apply
    return lambda tensors: list(apply(forward, backward, save, *tensors))


@functools.cache
def _torch_function() -> Any:
    """Return the autograd function of every function with a hand-written gradient."""
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(
            context: Any,
            forward: Callable,
            backward: Callable,
            save: bool,
            *tensors: Tensor,
        ) -> tuple[Tensor, ...]:
            outputs, saved = forward(tensors, save)
            context.functions, context.saved = (forward, backward, save), saved
            context.save_for_backward(*tensors)
            # A returned tensor that is also saved would keep its own graph alive.
            return tuple(output.detach() for output in outputs)

        @staticmethod
        @torch.compiler.disable
        def backward(context: Any, *gradients: Tensor) -> tuple[Any, ...]:
            tensors = context.saved_tensors
            forward, backward, save = context.functions
            with torch.no_grad():
                saved = context.saved if save else forward(tensors, True)[1]
                found = backward(tensors, saved, list(gradients))
            if torch.is_grad_enabled():  # with `create_graph=True`
                # PyTorch's own `once_differentiable` drops the gradient of a gradient
                # in silence where the gradients that come in are constants.
                found = [
                    tensor if tensor is None else Refused.apply(tensor, *tensors)
                    for tensor in found
                ]
            return None, None, None, *found

    class Refused(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, tensor: Tensor, *origins: Tensor) -> Tensor:
            return tensor.view_as(tensor)

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Any:
            raise NotImplementedError(ONCE)

    return Function
