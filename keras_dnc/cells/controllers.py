"""Controllers, the networks that drive a memory.

Any Keras RNN cell whose states are rank 2 can be a controller.
"""

import numbers
from typing import Any, Self

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.dense import dense_output
from keras_dnc.ops.linear import linear
from keras_dnc.ops.normalization import normalized
from keras_dnc.typing import DType, Shape, Tensor, Tensors


@keras.saving.register_keras_serializable(package="keras_dnc")
class FeedForwardController(keras.layers.Layer):
    """A dense layer as an RNN cell: a controller without recurrence of its own.

    All recurrence runs through the external memory, whose use becomes easier to
    interpret (Graves et al. 2014, section 3.3.1). The only state is the previous
    output, which Keras's loop needs at masked steps; the controller does not read it.

    Args:
        units: Numbers in the output.
        activation: Keras activation, by name or as a function. Defaults to `"tanh"`.
        **kwargs: `name`, `trainable` and `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`.
        states: `[previous_output]`, `(batch, units)`.

    Returns:
        `(output, [output])`, `(batch, units)`.

    Raises:
        ValueError: If `units` is not a positive integer, or `activation` is unknown to
            Keras.

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

    def build(self, input_shape: Shape) -> None:
        """Create the dense layer.

        Args:
            input_shape: `(batch, features)`.
        """
        self.dense = keras.layers.Dense(
            self.units, self.activation, dtype=self.dtype_policy, name="dense"
        )
        self.dense.build(input_shape)

    def call(self, inputs: Tensor, states: Tensors) -> tuple[Tensor, Tensors]:
        """Return the output of the dense layer, also as the new state."""
        output = dense_output(self.dense, inputs)
        return output, [output]

    def get_initial_state(self, batch_size: int | Tensor | None = None) -> Tensors:
        """Return zeros.

        Args:
            batch_size: Sequences in the batch, an integer or a scalar tensor; Keras
                always passes one.

        Returns:
            List of one tensor `(batch, units)`.
        """
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="keras_dnc")
class FusedLSTMCell(keras.layers.LSTMCell):
    """`keras.layers.LSTMCell` with one matrix product in place of two.

    Weights and values are those of `keras.layers.LSTMCell`. The gradient multiplies by
    the concatenation of the transposed kernels, which XLA transposes once, before the
    loop over time. It would transpose two separate kernels at every step, and take two
    to five times as long. With dropout, the computation is that of
    `keras.layers.LSTMCell`.

    Args:
        units: Numbers in the output.
        **kwargs: The other arguments of `keras.layers.LSTMCell`, whose constructor
            alone checks all arguments.

    Call arguments:
        inputs: `(batch, features)`.
        states: `[output, carry]`, each `(batch, units)`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, [output, carry])`, each `(batch, units)`.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(output_size=3, controller=64)
        >>> isinstance(cell.controller, FusedLSTMCell)
        True

    References:
        - Hochreiter and Schmidhuber 1997, Long short-term memory.
    """

    def call(
        self, inputs: Tensor, states: Tensors, training: bool = False
    ) -> tuple[Tensor, Tensors]:
        """Take one step."""
        if training and (self.dropout or self.recurrent_dropout):
            return super().call(inputs, states, training=training)
        return self._step(inputs, *states)

    def _step(
        self, inputs: Tensor, output: Tensor, carry: Tensor
    ) -> tuple[Tensor, Tensors]:
        """Compute the gates, the new carry and the new output."""
        gate_in, forget, new, gate_out = self._gates(inputs, output)
        carry = self.recurrent_activation(forget) * carry + self.recurrent_activation(
            gate_in
        ) * self.activation(new)
        output = self.recurrent_activation(gate_out) * self._shown(carry)
        return output, [output, carry]

    def _gates(self, inputs: Tensor, output: Tensor) -> Tensors:
        """Return input gate, forget gate, candidate and output gate, not squashed."""
        kernels = [self.kernel, self.recurrent_kernel]
        gates = linear([inputs, output], kernels, self.bias if self.use_bias else None)
        return ops.split(gates, 4, axis=-1)

    def _shown(self, carry: Tensor) -> Tensor:
        """Return the factor of the output gate, computed from the carry."""
        return self.activation(carry)


@keras.saving.register_keras_serializable(package="keras_dnc")
class NormalizedLSTMCell(FusedLSTMCell):
    r"""LSTM cell with layer normalisation of its gates and of the carry it outputs.

    $$(i, f, g, o) = \mathrm{LN}(W [x_t; h_{t-1}]) + b, \quad
    c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh(g), \quad
    h_t = \sigma(o) \tanh(\mathrm{LN}(c_t))$$

    The carry is normalised on the way to the output only, so that each of its numbers
    persists until a gate changes it.

    Departures: Ba et al. normalise $W x$ and $U h$ separately. Here the one product
    $W [x; h]$ is normalised, as in the controller of Franke et al. 2018. Dropout has
    one mask for all gates. The gradient fades where a variance is below 1e-5, as after
    blank steps, where it would explode.

    Args:
        units: Numbers in the output.
        normalization: `"joint"` to normalise the numbers of all four gates with one
            mean and one variance, as the programs of both papers do, or `"separate"`
            for a mean and a variance of each gate. Defaults to `"joint"`.
        **kwargs: The other arguments of `keras.layers.LSTMCell`; `implementation` has
            no effect.

    Call arguments:
        inputs: `(batch, features)`.
        states: `[output, carry]`, each `(batch, units)`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, [output, carry])`, each `(batch, units)`.

    Raises:
        ValueError: If `units` is not a positive integer, or `normalization` is unknown.

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

    def __init__(self, units: int, normalization: str = "joint", **kwargs: Any) -> None:
        super().__init__(positive_integer("units", units), **kwargs)
        check_choice("normalization", normalization, ("joint", "separate"))
        self.normalization = normalization
        self.dropout_mask_count = None  # one mask; Keras makes one for each gate

    def build(self, input_shape: Shape) -> None:
        """Create the weights of `keras.layers.LSTMCell`, gains and shifts.

        Args:
            input_shape: `(batch, features)`.
        """
        super().build(input_shape)
        self.gate_gain = self._gain("gate_gain", (4, self.units))
        self.carry_gain = self._gain("carry_gain", (self.units,))
        self.carry_shift = self.add_weight(
            name="carry_shift", shape=(self.units,), initializer="zeros"
        )

    def _gain(self, name: str, shape: Shape) -> keras.Variable:
        """Create the gain of a normalisation, 1 before training."""
        return self.add_weight(name=name, shape=shape, initializer="ones")

    def call(
        self, inputs: Tensor, states: Tensors, training: bool = False
    ) -> tuple[Tensor, Tensors]:
        """Take one step."""
        output, carry = states
        if training and self.dropout:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and self.recurrent_dropout:
            output = output * self.get_recurrent_dropout_mask(output)
        return self._step(inputs, output, carry)

    def _gates(self, inputs: Tensor, output: Tensor) -> Tensors:
        """Return the four gates, normalised and not squashed."""
        gates = linear([inputs, output], [self.kernel, self.recurrent_kernel])
        if self.normalization == "joint":
            gates = normalized(gates)
        gates = ops.reshape(gates, (-1, 4, self.units))
        if self.normalization == "separate":
            gates = normalized(gates)
        gates = gates * self.gate_gain
        if self.use_bias:
            gates = gates + ops.reshape(self.bias, (4, self.units))
        return ops.unstack(gates, axis=1)

    def _shown(self, carry: Tensor) -> Tensor:
        """Return the factor of the output gate, from the normalised carry."""
        return self.activation(normalized(carry) * self.carry_gain + self.carry_shift)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "normalization": self.normalization}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a cell; a config of version 0.1 normalises each gate separately.

        Args:
            config: Dict of the constructor's arguments.

        Returns:
            A new cell.
        """
        return cls(**{"normalization": "separate", **config})


def as_controller(
    controller: int | keras.Layer,
    dtype: DType,
    lstm: type[keras.Layer],
    name: str = "controller",
) -> keras.Layer:
    """Return a controller, or a new LSTM cell for a number of units.

    Args:
        controller: Units of an LSTM, or any RNN cell whose states are rank 2.
        dtype: Policy of a new LSTM.
        lstm: Class of a new LSTM.
        name: Name of the argument, and of a new LSTM. Defaults to `"controller"`.

    Returns:
        A Keras RNN cell.

    Raises:
        ValueError: If `controller` is neither a positive integer nor an RNN cell.
    """
    if isinstance(controller, numbers.Integral) and not isinstance(controller, bool):
        units = positive_integer(name, controller)
        return lstm(units, dtype=dtype, name=name)
    if not _is_cell(controller):
        raise ValueError(
            f"Argument `{name}` must be a positive integer (LSTM units) or a Keras "
            "RNN cell with an integer `state_size` for each state: pass a number of "
            "units or `keras.layers.LSTMCell(8)`, not a name or a layer such as "
            f"`keras.layers.LSTM(8)`. Received: {name}={controller!r}"
        )
    return controller


def _is_cell(controller: Any) -> bool:
    """Return whether an object is an RNN cell of Keras with states of rank 2."""
    is_layer = isinstance(controller, keras.layers.Layer)
    sizes = tree.flatten(getattr(controller, "state_size", None))
    return (
        is_layer
        and not isinstance(controller, keras.layers.RNN)
        and bool(sizes)
        and all(isinstance(size, int) and size > 0 for size in sizes)
    )


def controller_state_shapes(controller: keras.Layer) -> Any:
    """Return the shape of one batch element of each state of a controller.

    Args:
        controller: A Keras RNN cell.

    Returns:
        Nested list of shapes, with the structure of the states that the cell takes.
    """
    sizes = controller.state_size
    return [(sizes,)] if isinstance(sizes, int) else tree.map_structure(_shape, sizes)


def _shape(size: int) -> tuple[int]:
    """Return the shape of one batch element of a state."""
    return (size,)


def unstacked(cell: keras.Layer) -> list[keras.Layer]:
    """Return the cells of a stack in order, or the cell if it is not a stack.

    Args:
        cell: A Keras RNN cell, such as `keras.layers.StackedRNNCells`, which may
            contain other stacks.

    Returns:
        List of cells, none of which is a stack.
    """
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [found for child in cell.cells for found in unstacked(child)]
    return [cell]


def cell_output_size(cell: keras.Layer) -> int:
    """Return the number of features in the output of a Keras RNN cell.

    Args:
        cell: A Keras RNN cell.

    Returns:
        Its `output_size` if it has one, else the size of its first state.
    """
    size = getattr(cell, "output_size", None)
    return tree.flatten(cell.state_size)[0] if size is None else size
