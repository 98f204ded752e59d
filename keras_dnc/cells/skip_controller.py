"""Controllers around a controller: the base, and a skip connection past one."""

from typing import Any, Self

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import positive_integer
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import as_controller
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.dense import dense_output
from keras_dnc.cells.dropout import HoldsDropout
from keras_dnc.typing import Tensor, Tensors


class WrappedController(keras.layers.Layer, HoldsDropout):
    """Base of the RNN cells that append features to the output of an inner controller.

    The states are those of the inner controller. A subclass adds to `output_size`, and
    defines `controller_input_size` and `call`.

    Args:
        controller: LSTM units, or any RNN cell whose states are rank 2.
        **kwargs: `name`, `trainable` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: If `controller` is neither a positive integer nor an RNN cell.
    """

    def __init__(self, controller: int | keras.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.controller = as_controller(controller, self.dtype_policy, FusedLSTMCell)
        self.state_size = self.controller.state_size
        self.output_size = cell_output_size(self.controller)

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Create the weights of the inner controller.

        Args:
            input_shape: `(batch, features)`.
        """
        batch, size = input_shape
        if not self.controller.built:
            self.controller.build((batch, self.controller_input_size(size)))

    def get_initial_state(self, batch_size: int | Tensor | None = None) -> Tensors:
        """Return the inner controller's own initial state, or zeros.

        Args:
            batch_size: Sequences in the batch, an integer or a scalar tensor.

        Returns:
            States of the inner controller, each `(batch, size)`.
        """
        own = getattr(self.controller, "get_initial_state", None)
        if own is not None:
            return own(batch_size=batch_size)
        return tree.map_structure(
            lambda size: ops.zeros((batch_size, size), self.compute_dtype),
            self.state_size,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "controller": keras.saving.serialize_keras_object(self.controller),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create the cell, the inner controller first."""
        controller = keras.saving.deserialize_keras_object(config["controller"])
        return cls(**{**config, "controller": controller})


@keras.saving.register_keras_serializable(package="keras_dnc")
class SkipController(WrappedController):
    r"""Controller whose input also reaches the memory through a dense layer.

    $$y_t = [\mathrm{controller}(x_t); \tanh(W x_t + b)]$$

    What a memory writes and looks for is often its current input. An LSTM mixes it with
    earlier inputs, and needs long training to separate it again. With this skip
    connection, a network learned to look up one of three edges of a graph in 600
    updates, and without it in 3,600.

    Args:
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
        skip_units: Units of the dense layer.
        **kwargs: `name`, `trainable` and `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`.
        states: States of the inner controller, each `(batch, size)`.

    Returns:
        `(output, states)`: `(batch, units + skip_units)`, and the new states of the
        inner controller.

    Raises:
        ValueError: If `controller` is neither a positive integer nor an RNN cell, or
            `skip_units` is not a positive integer.

    Example:
        >>> import keras_dnc
        >>> controller = keras_dnc.SkipController(64, skip_units=32)
        >>> cell = keras_dnc.SAMCell(output_size=3, controller=controller)
        >>> cell.controller.output_size
        96

    References:
        - Graves 2013, Generating sequences with recurrent neural networks, section 2,
          "skip connections". There they link the inputs to all layers of an LSTM, and
          all layers to the output.
    """

    def __init__(
        self, controller: int | keras.Layer, skip_units: int, **kwargs: Any
    ) -> None:
        super().__init__(controller, **kwargs)
        self.skip_units = positive_integer("skip_units", skip_units)
        self.output_size += self.skip_units
        self.skip = keras.layers.Dense(
            self.skip_units, "tanh", dtype=self.dtype_policy, name="skip"
        )

    def controller_input_size(self, input_size: int) -> int:
        """Return the number of features that the inner controller gets: all.

        Args:
            input_size: Features of the input.

        Returns:
            `input_size`.
        """
        return input_size

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Create the weights of the inner controller and of the dense layer.

        Args:
            input_shape: `(batch, features)`.
        """
        super().build(input_shape)
        self.skip.build(input_shape)

    def call(self, inputs: Tensor, states: Tensors) -> tuple[Tensor, Tensors]:
        """Run the inner controller, and append the dense layer's output."""
        output, states = self.controller(inputs, states)
        skipped = ops.cast(dense_output(self.skip, inputs), output.dtype)
        return ops.concatenate([output, skipped], axis=-1), states

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "skip_units": self.skip_units}
