"""The functions of `keras_dnc.backend` on JAX."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_dnc.typing import Buffer, Shape, Tensor, TensorFunction, Tensors

HAS_SPARSE_GRADIENTS = False
_FORWARD_MODE = (
    "Forward-mode differentiation (`jax.jvp`, `jax.jacfwd`) does not pass through a "
    "gradient written by hand: use reverse mode, `jax.grad` or `jax.jacrev`. "
    "`jax.hessian` needs `keras.layers.RNN`, or `MemoryRNN` with `recompute=0`."
)


def take_rows(table: Tensor, rows: Tensor, sparse_gradient: bool) -> Tensor:
    return ops.take(table, rows, axis=0)


def stable_top_k(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    return ops.top_k(values, count)


def rows_of_gradient(gradient: Tensor) -> tuple[Tensor, Tensor] | None:
    return None


def not_compiled(function: Callable) -> Callable:
    return function


def is_compiled() -> bool:
    return True


def is_plain_graph() -> bool:
    return False


def num_replicas() -> int:
    return 1


def loop(count: Tensor, body: Callable[[Tensor, Any], Any], carry: Any) -> Any:
    import jax

    return jax.lax.fori_loop(0, count, body, carry)


def buffer(size: Tensor, like: Tensor) -> Buffer:
    return ops.zeros((size, *like.shape), like.dtype)


def write(buffer: Buffer, index: Tensor, value: Tensor) -> Buffer:
    import jax

    return jax.lax.dynamic_update_index_in_dim(buffer, value, index, 0)


def read(buffer: Buffer, index: Tensor) -> Tensor:
    import jax

    return jax.lax.dynamic_index_in_dim(buffer, index, 0, keepdims=False)


def stack(buffer: Buffer) -> Tensor:
    return buffer


def vjp(
    function: Callable[[Tensors], tuple[Tensors, Tensors]],
    tensors: Tensors,
    gradients: Tensors,
) -> tuple[Tensors, Tensors]:
    import jax

    _, pull_back, others = jax.vjp(function, tensors, has_aux=True)
    return pull_back(gradients)[0], others


def infer(function: Callable[[Tensors], Any], shapes: list[Shape], dtype: str) -> Any:
    import jax

    specs = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    return jax.eval_shape(function, specs)


def with_gradient(
    forward: Callable, backward: Callable, save: bool, second_order: bool
) -> TensorFunction:
    import jax

    @jax.custom_vjp
    def function(tensors: Tensors) -> Tensors:
        return forward(tensors, False)[0]

    def keep(tensors: Tensors) -> tuple[Tensors, tuple[Tensors, Any]]:
        outputs, saved = forward(tensors, True)
        return outputs, (tensors, saved)

    def gradient(
        kept: tuple[Tensors, Any], gradients: Tensors
    ) -> tuple[list[Tensor | None]]:
        return (backward(*kept, gradients),)

    function.defvjp(keep, gradient)

    def backward_only(tensors: Tensors) -> Tensors:
        try:
            return function(tensors)
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise NotImplementedError(_FORWARD_MODE) from error

    return backward_only
