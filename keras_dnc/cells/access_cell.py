"""A controller beside an external memory, as one RNN cell: what every paper shares."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_positive_or_none
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.backend.keras_internals import all_layers
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import as_controller
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.controllers import controller_state_shapes
from keras_dnc.cells.dropout import SequenceDropout
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.cells.memory_cell import StepRecord


class CellState(NamedTuple):
    """All that a cell around a memory carries from step to step.

    Attributes:
        output: `(batch, output_size)`, within `clip_value` of 0.
        read_words: `(batch, num_reads, word_size)`.
        access: The state of the memory and its addressing, a NamedTuple.
        controller: The controller's own states, as the controller takes them.
    """

    output: Any
    read_words: Any
    access: Any
    controller: Any


class AccessCell(MemoryCell):
    r"""Base of the cells whose controller asks one layer, `access`, for words.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{access}(\nu_t)$$
    $$y_t = W [d \circ \nu_t; r^1_t; \dots; r^R_t]$$

    with d the mask of `bypass_dropout`, 1 outside of training.

    A subclass calls `_take` in its constructor, with an `Access`, whose options become
    the cell's own.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for none.
        bypass_dropout: Fraction of the controller's output that the cell's output does
            not see in training, so that answers have to come from memory.
        lstm: Class of an LSTM made from units.
        **kwargs: As in `MemoryCell`.
    """

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer,
        clip_value: float | None,
        bypass_dropout: float = 0.0,
        lstm=FusedLSTMCell,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_or_none("clip_value", clip_value)
        self.output_size = positive_integer("output_size", output_size)
        self.controller = as_controller(controller, self.controller_dtype_policy, lstm)
        self.clip_value = clip_value
        self.bypass_dropout = probability("bypass_dropout", bypass_dropout)
        self.bypass = SequenceDropout(bypass_dropout, dtype=self.dtype_policy)

    def _take(self, access):
        """Make `access` the layer that the controller asks for words."""
        self.access = access
        for name in (*access.options, "control_biases"):
            setattr(self, name, getattr(access, name))

    @property
    def state_shapes(self):
        """`CellState` with the shape of one sample at each leaf."""
        return CellState(
            output=(self.output_size,),
            read_words=(self.access.num_reads, self.access.word_size),
            access=self.access.state_shapes,
            controller=controller_state_shapes(self.controller),
        )

    @property
    def note_shapes(self):
        """The notes of `access` with the shape of one sample at each leaf."""
        return self.access.note_shapes

    @property
    def replayed_states(self):
        """Those of `access`, which are larger than all others together."""
        return self.access.replayed_states

    def replay(self, state, recorded):
        """Write again where the step has written."""
        write_weights = recorded.state.access.write_weights
        return self.access.replay(state.access, write_weights, recorded.notes)

    @property
    def parts_with_dropout(self):
        """The controller, and what drops its output on the way past the memory."""
        return [self.controller, self.bypass]

    def get_dropout_mask(self, step_input):
        """Make the masks of controller and bypass, before the loop."""
        super().get_dropout_mask(step_input)
        shape = (ops.shape(step_input)[0], cell_output_size(self.controller))
        self.bypass.get_dropout_mask(ops.zeros(shape, self.compute_dtype))

    def controller_input_size(self, input_size):
        """Width of the input with the previous read words beside it."""
        return input_size + self.access.num_reads * self.access.word_size

    def build(self, input_shape):
        """Create the weights of controller, interface and output."""
        check_shape("inputs", input_shape, ("batch", "features"))
        batch, input_size = input_shape
        self.input_size = input_size
        if not self.controller.built:
            self.controller.build((batch, self.controller_input_size(input_size)))
        units = cell_output_size(self.controller)
        self.access.build((batch, units))
        self.output_linear = keras.layers.Dense(
            self.output_size, dtype=self.dtype_policy, name="output_linear"
        )
        self.output_linear.build((batch, self.controller_input_size(units)))
        # What has no weights is built, too: before each batch on JAX, Keras runs a
        # model once more that has a layer of which this is not said.
        for layer in all_layers(self):
            layer.built = True

    def step(self, inputs, state, recorded=None, **flags):
        """Run the controller, ask the memory, answer.

        Args:
            inputs: `(batch, features)`.
            state: `CellState`.
            recorded: As in `MemoryCell.step`.
            **flags: What `access.step` takes beside.
        """
        features = self._beside_words(inputs, state.read_words)
        controlled, controller_state = self.controller(features, state.controller)
        controlled = self._clip(controlled)
        controls = self.access.controls(controlled)
        known = recorded and (recorded.state, recorded.notes)
        read_words, access_state, notes = self.access.step(
            controls, state.access, known, **flags
        )
        seen = self.bypass(controlled)
        output = self.output_linear(self._beside_words(seen, read_words))
        state = CellState(
            output=self._clip(output),
            read_words=read_words,
            access=access_state,
            controller=tree.map_structure(self._clip, controller_state),
        )
        return StepRecord(state, controls, notes)

    def _beside_words(self, features, read_words):
        """Concatenate features and all read words, `(batch, size)`."""
        words = ops.reshape(read_words, (-1, self.controller_input_size(0)))
        return ops.concatenate([features, words], axis=-1)

    def _clip(self, tensor):
        """Bring what half precision computed to float32, within the bound."""
        tensor = ops.cast(tensor, self.compute_dtype)
        if self.clip_value is None:
            return tensor
        return ops.clip(tensor, -self.clip_value, self.clip_value)

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "controller": keras.saving.serialize_keras_object(self.controller),
            "clip_value": self.clip_value,
            "bypass_dropout": self.bypass_dropout,
            **self.access.get_options(),
        }

    @classmethod
    def from_config(cls, config):
        """Create a cell, its controller first."""
        controller = keras.saving.deserialize_keras_object(config["controller"])
        return cls(**{**config, "controller": controller})
