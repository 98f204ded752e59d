"""The functions of `keras_dnc.backend` on TensorFlow."""

from collections.abc import Callable
from typing import Any

import keras

from keras_dnc.backend import ONCE
from keras_dnc.backend import keras_internals
from keras_dnc.typing import Buffer, Shape, Tensor, TensorFunction, Tensors

HAS_SPARSE_GRADIENTS = True


def take_rows(table: Tensor, rows: Tensor, sparse_gradient: bool) -> Tensor:
    import tensorflow as tf

    if isinstance(table, keras.Variable):
        table = table.value
    if sparse_gradient:
        # From the variable itself: outside XLA, reading all of it would copy it.
        return tf.gather(table, rows)
    table, rows = tf.convert_to_tensor(table), tf.convert_to_tensor(rows)

    # TensorFlow's own gradient is sparse. If a row repeats, Keras's optimizers would
    # square each of its gradients instead of their sum.
    @tf.custom_gradient
    def take(table: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        def gradient(by_rows: Tensor) -> Tensor:
            by_rows = tf.reshape(by_rows, (-1, *table.shape[1:]))
            places = tf.reshape(rows, (-1,))
            return tf.math.unsorted_segment_sum(by_rows, places, table.shape[0])

        return tf.gather(table, rows), gradient

    return take(table)


def stable_top_k(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    return keras.ops.top_k(values, count)


def rows_of_gradient(gradient: Tensor) -> tuple[Tensor, Tensor] | None:
    import tensorflow as tf

    if isinstance(gradient, tf.IndexedSlices):
        return gradient.indices, gradient.values
    return None


def assign_rows(variable: keras.Variable, rows: Tensor, values: Tensor) -> None:
    import tensorflow as tf

    if isinstance(variable, keras.Variable):
        variable = variable.value
    variable.scatter_update(tf.IndexedSlices(values, rows))


def not_compiled(function: Callable) -> Callable:
    return function


def is_compiled() -> bool:
    return keras_internals.tensorflow_compiles_with_xla()


def is_plain_graph() -> bool:
    import tensorflow as tf

    return tf.inside_function() and num_replicas() == 1 and not is_compiled()


def num_replicas() -> int:
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def loop(count: Tensor, body: Callable[[Tensor, Any], Any], carry: Any) -> Any:
    import tensorflow as tf

    def keep_shapes(index: Tensor, old: Any) -> tuple[Tensor, Any]:
        new = body(index, old)
        for tensor, before in zip(
            tf.nest.flatten(new), tf.nest.flatten(old), strict=True
        ):
            if isinstance(tensor, tf.Tensor):
                tensor.set_shape(before.shape)
        return index + 1, new

    return tf.while_loop(
        lambda index, _: index < count, keep_shapes, (tf.constant(0), carry)
    )[1]


def buffer(size: Tensor, like: Tensor) -> Buffer:
    import tensorflow as tf

    return tf.TensorArray(
        like.dtype, size, element_shape=like.shape, clear_after_read=False
    )


def write(buffer: Buffer, index: Tensor, value: Tensor) -> Buffer:
    return buffer.write(index, value)


def read(buffer: Buffer, index: Tensor) -> Tensor:
    return buffer.read(index)


def stack(buffer: Buffer) -> Tensor:
    return buffer.stack()


def vjp(
    function: Callable[[Tensors], tuple[Tensors, Tensors]],
    tensors: Tensors,
    gradients: Tensors,
) -> tuple[Tensors, Tensors]:
    import tensorflow as tf

    # If a tensor is passed twice, each place would get the gradient of both.
    tensors = [tf.identity(tensor) for tensor in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs, others = function(tensors)
    found = tape.gradient(
        outputs,
        tensors,
        output_gradients=gradients,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return found, others


def infer(function: Callable[[Tensors], Any], shapes: list[Shape], dtype: str) -> Any:
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, dtype) for shape in shapes]
    traced = tf.function(function, autograph=False).get_concrete_function(specs)
    return traced.structured_outputs


def with_gradient(
    forward: Callable, backward: Callable, save: bool, second_order: bool
) -> TensorFunction:
    import tensorflow as tf

    @tf.custom_gradient
    def function(*tensors: Tensor) -> tuple[Tensors, Callable]:
        outputs, saved = forward(tensors, save)

        def gradient(*gradients: Tensor) -> list[Tensor | None]:
            kept = saved if save else forward(tensors, True)[1]
            found = backward(tensors, kept, list(gradients))
            return found if second_order else [once(tensor) for tensor in found]

        return outputs, gradient

    def once(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else _without_gradient(tensor)

    # A variable passed unconverted would count as captured by the function.
    return lambda tensors: list(function(*map(tf.convert_to_tensor, tensors)))


def _without_gradient(tensor: Tensor) -> Tensor:
    """Return a tensor whose gradient is refused."""
    import tensorflow as tf

    @tf.custom_gradient
    def identity(tensor: Tensor) -> tuple[Tensor, Callable]:
        def refuse(_: Tensor) -> Tensor:
            raise NotImplementedError(ONCE)

        return tf.identity(tensor), refuse

    return identity(tensor)
