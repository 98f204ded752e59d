"""The one place that asks which backend runs: loops, buffers, gradients by hand.

`keras.ops` speaks for every backend but for what a layer needs that writes its own
back-propagation: a loop that keeps values aside, the gradient of a function inside that
loop, and a function that carries its own gradient. Values are flat lists of tensors.
"""

import functools

import keras
from keras import ops


def loop(count, body, carry):
    """Run `carry = body(index, carry)` for each index below `count`.

    Args:
        count: An integer, or a scalar integer tensor.
        body: Function of an index and the carry; gives a carry of the same structure.
        carry: Nested lists and tuples of tensors and of `buffer`s.

    Returns:
        The last carry.
    """
    return _implementation().loop(count, body, carry)


def buffer(size, like):
    """Room for `size` tensors of the shape and type of `like`."""
    return _implementation().buffer(size, like)


def write(room, index, value):
    """Give the buffer `room` with `value` at `index`; the old one is used up."""
    return _implementation().write(room, index, value)


def read(room, index):
    """Give the tensor at `index` of the buffer `room`."""
    return _implementation().read(room, index)


def stack(room):
    """Give all tensors of the buffer `room`, `(size, ...)`; each has been written."""
    return _implementation().stack(room)


def buffers(size, tensors):
    """Room for `size` lists of tensors like these."""
    return [buffer(size, tensor) for tensor in tensors]


def write_all(rooms, index, values):
    """Give the buffers with each of `values` at `index`; the old ones are used up."""
    return [write(r, index, value) for r, value in zip(rooms, values, strict=True)]


def read_all(rooms, index):
    """Give the list of tensors at `index` of the buffers."""
    return [read(room, index) for room in rooms]


def vjp(function, tensors, gradients):
    """Back-propagate through `function`.

    Args:
        function: From a list of tensors to a list of tensors.
        tensors: What it is given; all of floating point.
        gradients: The loss's gradient of each tensor that it gives.

    Returns:
        The loss's gradient of each of `tensors`.
    """
    return _implementation().vjp(function, tensors, gradients)


def with_gradient(forward, backward, save):
    """A function that brings its own gradient.

    Args:
        forward: From a list of tensors and `save` to `(outputs, saved)`: a list of
            tensors, and any nested structure of tensors and buffers for `backward`.
        backward: From the list of tensors, `saved` and the gradients of the outputs to
            a list of gradients, `None` where there is none.
        save: Whether a gradient is to be expected. If not, `forward` is asked without
            `saved`, and a second time where a gradient is taken all the same.

    Returns:
        Function from a list of tensors to the list of outputs.
    """
    return _implementation().with_gradient(forward, backward, save)


def take_rows(table, rows, sparse_gradient):
    """Give rows of a weight for whole numbers `rows` below its size.

    Args:
        table: Weight, `(size, ...)`.
        rows: Integers, any shape; they may repeat.
        sparse_gradient: Whether the weight's gradient holds these rows alone, in the
            backend's own form, where it has one.

    Returns:
        `(shape of rows, ...)`.
    """
    return _implementation().take_rows(table, rows, sparse_gradient)


def has_sparse_gradients():
    """Whether a gradient can hold a few rows of a weight and no others."""
    return _implementation().has_sparse_gradients


def rows_of_gradient(gradient):
    """Take a sparse gradient apart.

    Returns:
        `(rows, values)`, `(count,)` and `(count, ...)`; rows may repeat, and the
        gradient is the sum of all. `None` if the gradient is not sparse.
    """
    return _implementation().rows_of_gradient(gradient)


def assign_rows(variable, rows, values):
    """Set rows of a variable in place; a row that repeats must get equal values."""
    _implementation().assign_rows(variable, rows, values)


def is_compiled():
    """Whether XLA compiles what is computed now, and so edits tensors in place."""
    return _implementation().is_compiled()


@functools.cache
def _implementation():
    return {"tensorflow": _TensorFlow, "jax": _Jax, "torch": _Torch}[
        keras.backend.backend()
    ]


class _TensorFlow:
    has_sparse_gradients = True

    @staticmethod
    def take_rows(table, rows, sparse_gradient):
        import tensorflow as tf

        if isinstance(table, keras.Variable):
            table = table.value
        if sparse_gradient:
            # Of the variable itself: to read all of it is, outside XLA, to copy it.
            return tf.gather(table, rows)
        table, rows = tf.convert_to_tensor(table), tf.convert_to_tensor(rows)

        # TensorFlow's own gradient is sparse, and Keras's optimizers square each of a
        # row's gradients where they should square the sum.
        @tf.custom_gradient
        def take(table):
            def gradient(by_rows):
                by_rows = tf.reshape(by_rows, (-1, *table.shape[1:]))
                places = tf.reshape(rows, (-1,))
                return tf.math.unsorted_segment_sum(by_rows, places, table.shape[0])

            return tf.gather(table, rows), gradient

        return take(table)

    @staticmethod
    def rows_of_gradient(gradient):
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            return gradient.indices, gradient.values
        return None

    @staticmethod
    def assign_rows(variable, rows, values):
        import tensorflow as tf

        if isinstance(variable, keras.Variable):
            variable = variable.value
        variable.scatter_update(tf.IndexedSlices(values, rows))

    @staticmethod
    def is_compiled():
        import tensorflow as tf

        # TensorFlow says so nowhere in public.
        from tensorflow.python.ops import control_flow_util

        graph = tf.compat.v1.get_default_graph()
        return control_flow_util.GraphOrParentsInXlaContext(graph)

    @staticmethod
    def loop(count, body, carry):
        import tensorflow as tf

        def keep_shapes(index, old):
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

    @staticmethod
    def buffer(size, like):
        import tensorflow as tf

        return tf.TensorArray(
            like.dtype, size, element_shape=like.shape, clear_after_read=False
        )

    @staticmethod
    def write(room, index, value):
        return room.write(index, value)

    @staticmethod
    def read(room, index):
        return room.read(index)

    @staticmethod
    def stack(room):
        return room.stack()

    @staticmethod
    def vjp(function, tensors, gradients):
        import tensorflow as tf

        # One tensor that is given twice would get the gradient of both places twice.
        tensors = [tf.identity(tensor) for tensor in tensors]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = function(tensors)
        return tape.gradient(
            outputs,
            tensors,
            output_gradients=gradients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    @staticmethod
    def with_gradient(forward, backward, save):
        import tensorflow as tf

        @tf.custom_gradient
        def function(*tensors):
            outputs, saved = forward(tensors, save)

            def gradient(*gradients):
                kept = saved if save else forward(tensors, True)[1]
                return backward(tensors, kept, list(gradients))

            return outputs, gradient

        # A variable handed in as it is would count as one that the function uses.
        return lambda tensors: list(function(*map(tf.convert_to_tensor, tensors)))


class _Jax:
    has_sparse_gradients = False

    @staticmethod
    def take_rows(table, rows, sparse_gradient):
        return ops.take(table, rows, axis=0)

    @staticmethod
    def rows_of_gradient(gradient):
        return None

    @staticmethod
    def is_compiled():
        return True

    @staticmethod
    def loop(count, body, carry):
        import jax

        return jax.lax.fori_loop(0, count, body, carry)

    @staticmethod
    def buffer(size, like):
        return ops.zeros((size, *like.shape), like.dtype)

    @staticmethod
    def write(room, index, value):
        import jax

        return jax.lax.dynamic_update_index_in_dim(room, value, index, 0)

    @staticmethod
    def read(room, index):
        import jax

        return jax.lax.dynamic_index_in_dim(room, index, 0, keepdims=False)

    @staticmethod
    def stack(room):
        return room

    @staticmethod
    def vjp(function, tensors, gradients):
        import jax

        return jax.vjp(function, tensors)[1](gradients)[0]

    @staticmethod
    def with_gradient(forward, backward, save):
        import jax

        @jax.custom_vjp
        def function(tensors):
            return forward(tensors, False)[0]

        def keep(tensors):
            outputs, saved = forward(tensors, True)
            return outputs, (tensors, saved)

        def gradient(kept, gradients):
            return (backward(*kept, gradients),)

        function.defvjp(keep, gradient)
        return function


class _Torch:
    has_sparse_gradients = True

    @staticmethod
    def take_rows(table, rows, sparse_gradient):
        import torch

        table, rows = ops.convert_to_tensor(table), ops.convert_to_tensor(rows)
        if not sparse_gradient:
            return table[rows]
        return torch.nn.functional.embedding(rows, table, sparse=True)

    @staticmethod
    def rows_of_gradient(gradient):
        if not gradient.is_sparse:
            return None
        return gradient._indices()[0], gradient._values()

    @staticmethod
    def assign_rows(variable, rows, values):
        import torch

        with torch.no_grad():
            variable.value[rows] = values

    @staticmethod
    def is_compiled():
        return False

    @staticmethod
    def loop(count, body, carry):
        for index in range(count):
            carry = body(index, carry)
        return carry

    @staticmethod
    def buffer(size, like):
        return [None] * size

    @staticmethod
    def write(room, index, value):
        room[index] = value
        return room

    @staticmethod
    def read(room, index):
        return room[index]

    @staticmethod
    def stack(room):
        return ops.stack(room)

    @staticmethod
    def vjp(function, tensors, gradients):
        import torch

        with torch.enable_grad():
            tensors = [tensor.detach().requires_grad_() for tensor in tensors]
            outputs = function(tensors)
        pairs = zip(outputs, gradients, strict=True)
        pairs = [(output, slope) for output, slope in pairs if output.requires_grad]
        outputs, gradients = zip(*pairs, strict=True)
        return torch.autograd.grad(
            outputs, tensors, gradients, allow_unused=True, materialize_grads=True
        )

    @staticmethod
    def with_gradient(forward, backward, save):
        apply = _torch_function().apply
        return lambda tensors: list(apply(forward, backward, save, *tensors))


@functools.cache
def _torch_function():
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, forward, backward, save, *tensors):
            outputs, saved = forward(tensors, save)
            context.functions, context.saved = (forward, backward, save), saved
            context.save_for_backward(*tensors)
            # What is returned must not be what is saved: it would hold itself.
            return tuple(output.detach() for output in outputs)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, *gradients):
            tensors = context.saved_tensors
            forward, backward, save = context.functions
            saved = context.saved if save else forward(tensors, True)[1]
            return None, None, None, *backward(tensors, saved, list(gradients))

    return Function
