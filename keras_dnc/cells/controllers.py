"""Controllers: the networks that drive a memory. Any Keras RNN cell is one."""

import numbers
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import positive_integer
from keras_dnc.ops.joint_product import joint_product

NORM_EPSILON = 1e-5  # keeps a layer normalisation's gradient finite at constant rows


@keras.saving.register_keras_serializable(package="keras_dnc")
class FeedForwardController(keras.layers.Layer):
    """A controller without memory of its own, as an RNN cell.

    All recurrence then runs through the external memory, whose use becomes easier to
    read (Graves et al. 2014, section 3.3.1). The only state is the previous output,
    which Keras's masked loop asks of a cell; the controller itself never reads it.

    Args:
        units: Numbers in the output.
        activation: Keras activation, by name or as a function.
        **kwargs: `name` and `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`.
        states: `[previous_output]`, `(batch, units)`.

    Returns:
        `(output, [output])`, `(batch, units)`.

    Raises:
        ValueError: `units` is no positive integer.

    Example:
        >>> import keras_dnc
        >>> controller = keras_dnc.FeedForwardController(64)
        >>> cell = keras_dnc.DNCCell(output_size=3, controller=controller)
        >>> cell.controller.units
        64

    References:
        - Graves et al. 2014, Neural Turing Machines, section 3.3.1.
    """

    def __init__(self, units: int, activation: Any = "tanh", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = positive_integer("units", units)
        self.activation = keras.activations.get(activation)
        self.state_size = [self.units]
        self.output_size = self.units

    def build(self, input_shape):
        """Create the dense layer."""
        self.dense = keras.layers.Dense(
            self.units, self.activation, dtype=self.dtype_policy, name="dense"
        )
        self.dense.build(input_shape)

    def call(self, inputs, states):
        """Give the dense layer's output, and keep it as the state."""
        output = self.dense(inputs)
        return output, [output]

    def get_initial_state(self, batch_size=None):
        """Give zeros, `[(batch, units)]`."""
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="keras_dnc")
class FusedLSTMCell(keras.layers.LSTMCell):
    """`keras.layers.LSTMCell` with one matrix product where that has two.

    The same weights and numbers. Its gradient multiplies by transposed kernels that
    stand side by side: XLA transposes those once, before the loop over time, where it
    otherwise does so at every step, and takes two to five times as long. With dropout
    it computes as `keras.layers.LSTMCell` does.

    Args:
        *args: As in `keras.layers.LSTMCell`.
        **kwargs: As in `keras.layers.LSTMCell`.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(output_size=3, controller=64)
        >>> isinstance(cell.controller, FusedLSTMCell)
        True

    References:
        - Hochreiter and Schmidhuber 1997, Long short-term memory.
    """

    def call(self, inputs, states, training=False):
        """Take one step; `(output, [output, carry])`, each `(batch, units)`."""
        if training and (self.dropout or self.recurrent_dropout):
            return super().call(inputs, states, training=training)
        return self._step(inputs, *states)

    def _step(self, inputs, output, carry):
        gate_in, forget, new, gate_out = self._gates(inputs, output)
        carry = self.recurrent_activation(forget) * carry + self.recurrent_activation(
            gate_in
        ) * self.activation(new)
        output = self.recurrent_activation(gate_out) * self._shown(carry)
        return output, [output, carry]

    def _gates(self, inputs, output):
        """Give input, forget, new and output gate before they are squashed."""
        gates = joint_product(inputs, output, self.kernel, self.recurrent_kernel)
        if self.use_bias:
            gates = gates + self.bias
        return ops.split(gates, 4, axis=-1)

    def _shown(self, carry):
        """Give what the output gate lets through."""
        return self.activation(carry)


@keras.saving.register_keras_serializable(package="keras_dnc")
class NormalizedLSTMCell(FusedLSTMCell):
    r"""LSTM cell whose gates and whose shown carry are layer-normalised.

    $$(i, f, g, o) = \mathrm{LN}(W [x_t; h_{t-1}]) + b, \quad
    c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh(g), \quad
    h_t = \sigma(o) \tanh(\mathrm{LN}(c_t))$$

    each gate normalised by itself. What is carried is not normalised, so that a slot
    of the carry keeps its number until a gate changes it.

    Departures: Ba et al. normalise `W x` and `W h` apart; one product of both is
    normalised here, as in Franke et al. 2018, whose controller this is. Dropout has
    one mask for all gates.

    Args:
        units: Numbers in the output.
        **kwargs: As in `keras.layers.LSTMCell`, but for `implementation`.

    Call arguments:
        inputs: `(batch, features)`.
        states: `[output, carry]`, each `(batch, units)`.
        training: Whether dropout is on.

    Returns:
        `(output, [output, carry])`, each `(batch, units)`.

    Example:
        >>> import keras_dnc
        >>> controller = NormalizedLSTMCell(64, recurrent_dropout=0.1)
        >>> keras_dnc.DNCCell(output_size=3, controller=controller).controller.units
        64

    References:
        - Ba, Kiros and Hinton 2016, Layer normalization, eq. 20-22.
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.2.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.dropout_mask_count = None  # Keras makes four, of which one gate sees one

    def build(self, input_shape):
        """Create the weights of `keras.layers.LSTMCell`, gains and shifts."""
        super().build(input_shape)
        self.gate_gain = self._gain("gate_gain", (4, self.units))
        self.carry_gain = self._gain("carry_gain", (self.units,))
        self.carry_shift = self.add_weight(
            name="carry_shift", shape=(self.units,), initializer="zeros"
        )

    def _gain(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer="ones")

    def call(self, inputs, states, training=False):
        """Take one step; `(output, [output, carry])`, each `(batch, units)`."""
        output, carry = states
        if training and self.dropout:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and self.recurrent_dropout:
            output = output * self.get_recurrent_dropout_mask(output)
        return self._step(inputs, output, carry)

    def _gates(self, inputs, output):
        gates = joint_product(inputs, output, self.kernel, self.recurrent_kernel)
        gates = ops.reshape(gates, (-1, 4, self.units))
        gates = _normalized(gates) * self.gate_gain
        if self.use_bias:
            gates = gates + ops.reshape(self.bias, (4, self.units))
        return ops.unstack(gates, axis=1)

    def _shown(self, carry):
        return self.activation(_normalized(carry) * self.carry_gain + self.carry_shift)


def _normalized(features):
    """Bring the last axis to mean 0 and variance 1, computed in float32 at least."""
    dtype = features.dtype  # of 11 bits in half precision, and squares beyond its range
    features = ops.cast(features, keras.backend.result_type(dtype, "float32"))
    centred = features - ops.mean(features, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return ops.cast(centred * ops.rsqrt(variance + NORM_EPSILON), dtype)


def as_controller(controller, dtype, lstm, name="controller"):
    """Give the RNN cell that `controller` stands for.

    Args:
        controller: Units of an LSTM, or any RNN cell whose states are rank 2.
        dtype: Policy of the LSTM.
        lstm: Class of the LSTM.
        name: Name of the argument, and of an LSTM made from units.

    Returns:
        A Keras RNN cell.

    Raises:
        ValueError: `controller` is neither.
    """
    if isinstance(controller, numbers.Integral) and not isinstance(controller, bool):
        units = positive_integer(name, controller)
        return lstm(units, dtype=dtype, name=name)
    if not _is_cell(controller):
        raise ValueError(
            f"Argument `{name}` must be a positive integer (LSTM units) or a Keras "
            "RNN cell (a layer with `call(inputs, states)` and an integer `state_size` "
            f"for each state). Received: {name}={controller!r}"
        )
    return controller


def _is_cell(controller):
    """Whether Keras could run `controller` in an RNN layer, with rank-2 states."""
    is_layer = isinstance(controller, keras.layers.Layer)
    sizes = tree.flatten(getattr(controller, "state_size", None))
    return (
        is_layer
        and not isinstance(controller, keras.layers.RNN)
        and bool(sizes)
        and all(isinstance(size, int) and size > 0 for size in sizes)
    )


def controller_state_shapes(controller):
    """Nested list of the shapes of one sample's states, as `controller` takes them."""
    sizes = controller.state_size
    return [(sizes,)] if isinstance(sizes, int) else tree.map_structure(_shape, sizes)


def _shape(size):
    return (size,)


def unstacked(cell):
    """List the cells of a stack, of stacks of stacks too; else the cell itself."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [found for child in cell.cells for found in unstacked(child)]
    return [cell]


def cell_output_size(cell):
    """Width of a Keras RNN cell's output: its own word, or its first state's size."""
    size = getattr(cell, "output_size", None)
    return tree.flatten(cell.state_size)[0] if size is None else size
