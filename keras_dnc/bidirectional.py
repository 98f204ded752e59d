"""A DNC with a second controller that reads backward (Franke et al. 2018).

The backward controller reads the sequence from its end and has no memory. At each step
its output is concatenated with that of the forward controller, and both drive one DNC
memory, which runs forward in time. Reading order: `ContextController` (carries the
backward outputs past the forward controller), `BiDNC` (the layer).
"""

from typing import Any, Self

import keras
from keras import ops

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import switch
from keras_dnc.bptt.memory_rnn import MemoryRNN
from keras_dnc.bptt.memory_rnn import check_sequences
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import NormalizedLSTMCell
from keras_dnc.cells.controllers import as_controller
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.skip_controller import WrappedController
from keras_dnc.dnc.cell import DNCCell
from keras_dnc.dnc.cell import links_of
from keras_dnc.signature import passes_on
from keras_dnc.typing import DType, Shape, Tensor, Tensors


@keras.saving.register_keras_serializable(package="keras_dnc")
class ContextController(WrappedController):
    r"""Controller that copies part of its input, the context, to its output.

    $$[c_t; x_t; r_{t-1}] \mapsto [\mathrm{controller}([x_t; r_{t-1}]); c_t]$$

    with $c_t$ the context, which the inner controller does not see.

    Args:
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
        context_size: Features of the context, the first of the input.
        **kwargs: `name`, `trainable` and `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, context_size + features)`.
        states: States of the inner controller, each `(batch, size)`.

    Returns:
        `(output, states)`: `(batch, units + context_size)`, and the new states of the
        inner controller.

    Raises:
        ValueError: If `controller` is neither a positive integer nor an RNN cell, or
            `context_size` is not a positive integer.

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
        super().__init__(controller, **kwargs)
        self.context_size = positive_integer("context_size", context_size)
        self.output_size += self.context_size

    def controller_input_size(self, input_size: int) -> int:
        """Return the width of the input without the context."""
        return input_size - self.context_size

    def call(self, inputs: Tensor, states: Tensors) -> tuple[Tensor, Tensors]:
        """Run the inner controller, and concatenate the context with its output."""
        context, seen = ops.split(inputs, [self.context_size], axis=-1)
        output, states = self.controller(seen, states)
        context = ops.cast(context, output.dtype)
        return ops.concatenate([output, context], axis=-1), states

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "context_size": self.context_size}


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(DNCCell)
class BiDNC(keras.layers.Layer):
    r"""Bidirectional DNC: a forward and a backward controller that share one memory.

    $$h^f_t = \mathrm{controller}([x_t; r_{t-1}], h^f_{t-1}), \quad
    h^b_t = \mathrm{backward}(x_t, h^b_{t+1})$$
    $$r_t = \mathrm{MemoryAccess}([h^f_t; h^b_t]), \quad
    y_t = W [h^f_t; h^b_t; r_t]$$

    The memory runs forward in time. This is a layer, not a cell: it reads the whole
    sequence before its first output, and cannot run one step at a time. Sequences may
    be padded at either end.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units of the forward controller, or any RNN cell whose states
            are rank 2: an `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a
            `FeedForwardController`. Defaults to 256 units.
        backward_controller: LSTM units of the backward controller, or an RNN cell;
            `None` for an LSTM as wide as the forward controller's output. Defaults to
            `None`.
        recompute: Steps per chunk of back-propagation that recomputes the memory; 0 to
            leave back-propagation to the backend, `None` for about the square root of
            the number of steps; see `MemoryRNN`. Defaults to `None`.
        return_sequences: Whether to return the output of every step, or only of the
            last. Defaults to `False`.
        dtype: Policy of the controllers; under a mixed or half-precision policy the
            memory stays in float32. A controller that is passed has its own. Defaults
            to Keras's global policy.
        name: Name of the layer. Defaults to a generated one.
        trainable: Whether the weights are trained. Defaults to `True`.
        {options}

    Call arguments:
        sequences: `(batch, time, features)`, time at least 1.
        mask: `(batch, time)`, true at real steps, or `None` where all are. Defaults to
            `None`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(batch, time, output_size)` with `return_sequences`, else
        `(batch, output_size)`.

    Raises:
        ValueError: If a size is not a positive integer, a controller is neither a
            positive integer nor an RNN cell, both controllers are one cell, `recompute`
            is neither `None` nor an integer of at least 0, `return_sequences` is not a
            bool, `DNCCell` refuses an option, or the sequences have the wrong rank or
            length 0.

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
        dtype: DType = None,
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
        self.return_sequences = switch("return_sequences", return_sequences)
        self._create_directions(cell_arguments)

    def _create_directions(self, cell_arguments: dict[str, Any]) -> None:
        """Create the backward layer, and the forward layer around the memory."""
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

    def build(self, sequences_shape: tuple[int | None, int | None, int]) -> None:
        """Create the weights of both directions."""
        check_sequences(sequences_shape)
        batch, time, size = sequences_shape
        self.backward_layer.build(sequences_shape)
        context_size = cell_output_size(self.backward_controller)
        self.forward_layer.build((batch, time, context_size + size))

    def call(
        self, sequences: Tensor, mask: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """Read the sequence backward, then run controller and memory forward."""
        check_sequences(sequences.shape)
        context = self.backward_layer(sequences, mask=mask, training=training)
        both = ops.concatenate([ops.flip(context, axis=1), sequences], axis=-1)
        return self.forward_layer(both, mask=mask, training=training)

    def compute_mask(
        self, sequences: Tensor, mask: Tensor | None = None
    ) -> Tensor | None:
        """Return the mask if the output is a sequence, else `None`."""
        return mask if self.return_sequences else None

    def compute_output_shape(self, sequences_shape: Shape) -> Shape:
        """Return the shape of the outputs."""
        batch, time, _ = sequences_shape
        if self.return_sequences:
            return (batch, time, self.output_size)
        return (batch, self.output_size)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
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
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create the layer, its controllers first."""
        controllers = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("controller", "backward_controller")
        }
        return cls(**{**links_of(config), **controllers})
