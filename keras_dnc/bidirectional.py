"""A DNC whose controller also knows what comes later (Franke et al. 2018).

A second controller reads the sequence from its end and sees no memory. What it says
stands beside what the first one says, and both together speak to the memory, which goes
forward in time as ever.
"""

from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.bptt.memory_rnn import MemoryRNN
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import NormalizedLSTMCell
from keras_dnc.cells.controllers import as_controller
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.dropout import DropoutRNNCell
from keras_dnc.cells.dropout import prime_dropout
from keras_dnc.cells.dropout import reset_dropout
from keras_dnc.dnc.cell import DNCCell


@keras.saving.register_keras_serializable(package="keras_dnc")
class ContextController(keras.layers.Layer, DropoutRNNCell):
    r"""A controller around which part of the input is led: the context.

    $$[c_t; x_t; r_{t-1}] \mapsto [\mathrm{controller}([x_t; r_{t-1}]); c_t]$$

    Args:
        controller: LSTM units, or any RNN cell whose states are rank 2.
        context_size: Features of $c_t$.
        **kwargs: `name` and `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, context_size + others)`.
        states: The controller's.

    Returns:
        `(output, states)`: `(batch, units + context_size)`, the controller's states.

    Raises:
        ValueError: A controller that is no RNN cell, or a `context_size` that is no
            positive integer.

    Example:
        >>> ContextController(16, context_size=8).output_size
        24

    References:
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.4.
    """

    def __init__(
        self, controller: int | keras.Layer, context_size: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.controller = as_controller(controller, self.dtype_policy, FusedLSTMCell)
        self.context_size = positive_integer("context_size", context_size)
        self.state_size = self.controller.state_size
        self.output_size = cell_output_size(self.controller) + self.context_size

    def build(self, input_shape):
        """Create the controller's weights."""
        batch, size = input_shape
        if not self.controller.built:
            self.controller.build((batch, size - self.context_size))

    def call(self, inputs, states):
        """Run the controller on what is not context; lead the context past it."""
        context, seen = ops.split(inputs, [self.context_size], axis=-1)
        output, states = self.controller(seen, states)
        context = ops.cast(context, output.dtype)
        return ops.concatenate([output, context], axis=-1), states

    def get_initial_state(self, batch_size=None):
        """Give the controller's own first state, or zeros."""
        own = getattr(self.controller, "get_initial_state", None)
        if own is not None:
            return own(batch_size=batch_size)
        return tree.map_structure(
            lambda size: ops.zeros((batch_size, size), self.compute_dtype),
            self.state_size,
        )

    @property
    def parts_with_dropout(self):
        """The controller."""
        return [self.controller]

    def get_dropout_mask(self, step_input):
        """Make the controller's masks, at the width that it sees."""
        batch_size, size = ops.shape(step_input)[0], step_input.shape[-1]
        prime_dropout(self.controller, batch_size, size - self.context_size)

    def get_recurrent_dropout_mask(self, step_input):
        """Do nothing: `get_dropout_mask` has made both masks."""

    def reset_dropout_mask(self):
        """Drop the controller's masks, after the loop."""
        reset_dropout(self)

    def reset_recurrent_dropout_mask(self):
        """Do nothing: `reset_dropout_mask` has dropped both masks."""

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "controller": keras.saving.serialize_keras_object(self.controller),
            "context_size": self.context_size,
        }

    @classmethod
    def from_config(cls, config):
        """Create it, its controller first."""
        controller = keras.saving.deserialize_keras_object(config["controller"])
        return cls(**{**config, "controller": controller})


@keras.saving.register_keras_serializable(package="keras_dnc")
class BiDNC(keras.layers.Layer):
    r"""Bidirectional DNC: one memory, forward in time; two controllers.

    $$h^f_t = \mathrm{controller}([x_t; r_{t-1}], h^f_{t-1}), \quad
    h^b_t = \mathrm{backward}(x_t, h^b_{t+1})$$
    $$r_t = \mathrm{MemoryAccess}([h^f_t; h^b_t]), \quad
    y_t = W [h^f_t; h^b_t; r_t]$$

    A layer, not a cell: it needs the whole sequence before its first step, and so
    cannot be run one step at a time. Padding may stand at either end.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2.
        backward_controller: The same for the backward direction; `None` for as many
            LSTM units as the forward controller's output has numbers.
        recompute: As in `MemoryRNN`.
        return_sequences: Whether to give every output, or the last.
        dtype: As in `DNCCell`.
        name: As in `keras.layers.Layer`.
        trainable: The same.
        **cell_arguments: All others of `DNCCell`, such as `memory_size`.

    Call arguments:
        sequences: `(batch, time, features)`, time at least 1.
        mask: `(batch, time)`, true at real steps, or `None`.
        training: Whether dropout is on.

    Returns:
        `(batch, time, output_size)`, or `(batch, output_size)`.

    Raises:
        ValueError: As in `DNCCell`; one cell for both controllers; sequences of
            another rank, or of length 0.

    Example:
        >>> layer = BiDNC(5, controller=16, memory_size=16, return_sequences=True)
        >>> layer(keras.Input((None, 6))).shape
        (None, None, 5)

    References:
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.4.
    """

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer = 256,
        backward_controller: int | keras.Layer | None = None,
        recompute: int | None = None,
        return_sequences: bool = False,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **cell_arguments: Any,
    ) -> None:
        super().__init__(dtype=dtype, name=name, trainable=trainable)
        self.supports_masking = True
        lstm = NormalizedLSTMCell if cell_arguments.get("normalize") else FusedLSTMCell
        self.controller = as_controller(controller, self.dtype_policy, lstm)
        units = cell_output_size(self.controller)
        self.backward_controller = as_controller(
            units if backward_controller is None else backward_controller,
            self.dtype_policy,
            lstm,
            "backward_controller",
        )
        if self.controller is self.backward_controller:
            raise ValueError(
                "Argument `backward_controller` must be a cell of its own. "
                f"Received: that of `controller`, {controller!r}"
            )
        self.output_size = output_size
        self.recompute = recompute
        self.return_sequences = return_sequences
        self._create_directions(cell_arguments)

    def _create_directions(self, cell_arguments):
        policy = self.dtype_policy
        self.backward_layer = keras.layers.RNN(
            self.backward_controller,
            return_sequences=True,
            go_backwards=True,
            dtype=policy,
            name="backward",
        )
        both = ContextController(
            self.controller, cell_output_size(self.backward_controller), dtype=policy
        )
        cell = DNCCell(self.output_size, both, dtype=policy, **cell_arguments)
        self.memory_size = cell.memory_size
        self.forward_layer = MemoryRNN(
            cell,
            self.recompute,
            return_sequences=self.return_sequences,
            dtype="float32" if cell.numbers_slots else policy,
            name="forward",
        )

    def build(self, sequences_shape):
        """Create the weights of both directions."""
        check_shape("sequences", sequences_shape, ("batch", "time", "features"))
        batch, time, size = sequences_shape
        self.backward_layer.build(sequences_shape)
        context_size = cell_output_size(self.backward_controller)
        self.forward_layer.build((batch, time, context_size + size))

    def call(self, sequences, mask=None, training=False):
        """Read from the end, then run controller and memory from the beginning."""
        if sequences.shape[1] == 0:
            raise ValueError(
                "Argument `sequences` must have shape (batch, time, features), time at "
                f"least 1. Received: sequences of shape {tuple(sequences.shape)}"
            )
        context = self.backward_layer(sequences, mask=mask, training=training)
        both = ops.concatenate([ops.flip(context, axis=1), sequences], axis=-1)
        return self.forward_layer(both, mask=mask, training=training)

    def compute_mask(self, sequences, mask=None):
        """Hand the mask on with a sequence of outputs."""
        return mask if self.return_sequences else None

    def compute_output_shape(self, sequences_shape):
        """Give the shape of the outputs."""
        batch, time, _ = sequences_shape
        if self.return_sequences:
            return (batch, time, self.output_size)
        return (batch, self.output_size)

    def get_config(self):
        """Give the constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        cell = self.forward_layer.cell.get_config()
        return {
            **cell,
            **super().get_config(),
            "output_size": self.output_size,
            "controller": serialize(self.controller),
            "backward_controller": serialize(self.backward_controller),
            "recompute": self.recompute,
            "return_sequences": self.return_sequences,
        }

    @classmethod
    def from_config(cls, config):
        """Create the layer, its controllers first."""
        controllers = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("controller", "backward_controller")
        }
        return cls(**{**config, **controllers})
