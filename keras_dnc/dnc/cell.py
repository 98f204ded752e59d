"""The Differentiable Neural Computer as a Keras RNN cell (Graves et al. 2016)."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.core.arguments import check_positive_or_none
from keras_dnc.core.arguments import check_shape
from keras_dnc.core.arguments import positive_integer
from keras_dnc.core.controllers import as_controller
from keras_dnc.core.controllers import controller_state_shapes
from keras_dnc.core.state import MemoryCell
from keras_dnc.core.state import StepRecord
from keras_dnc.core.state import cell_output_size
from keras_dnc.dnc.access import MemoryAccess


class DNCState(NamedTuple):
    """All that a DNC carries from step to step.

    Attributes:
        output: `(batch, output_size)`, within `clip_value` of 0.
        read_words: `(batch, num_reads, word_size)`.
        access: `MemoryAccessState`.
        controller: The controller's own states, as the controller takes them.
    """

    output: Any
    read_words: Any
    access: Any
    controller: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class DNCCell(MemoryCell):
    r"""Differentiable Neural Computer: a controller beside an external memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{MemoryAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    With the same weights, outputs, states and gradients equal those of deepmind/dnc.
    The all-zero state is a fresh memory.

    Departures, all as in deepmind/dnc: key strengths by softplus (`strength="oneplus"`
    gives the paper's); no gradient from usage into write weights
    (`usage_gradient=True`); several write heads; read modes ordered backward, forward,
    content; controller output, controller state and output clipped
    (`clip_value=None` switches it off); forget-gate bias 1 in the LSTM.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        num_writes: Write heads.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for none.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        usage_gradient: Whether the gradient of usage flows into the write weights.
        **kwargs: `name`, and `dtype`: under a mixed or half-precision policy an LSTM
            made from units follows it and the memory stays in float32; a controller
            that is passed has a policy of its own.

    Call arguments:
        inputs: `(batch, features)`.
        states: Flat list of `(batch, size)`; see `unflatten`.
        training: Whether the controller's dropout is on.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new flat list.

    Raises:
        ValueError: A size that is no positive integer, a controller that is no RNN
            cell, an unknown `strength`, or inputs of the wrong rank.

    Example:
        >>> import keras
        >>> import keras_dnc
        >>> inputs = keras.Input((None, 6))
        >>> cell = keras_dnc.DNCCell(5, controller=64, memory_size=16, word_size=16)
        >>> outputs = keras.layers.RNN(cell, return_sequences=True)(inputs)
        >>> model = keras.Model(inputs, outputs)
        >>> model.output_shape
        (None, None, 5)

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Nature 538.
    """

    def __init__(
        self,
        output_size,
        controller=256,
        memory_size=128,
        word_size=20,
        num_reads=1,
        num_writes=1,
        clip_value=20.0,
        strength="softplus",
        usage_gradient=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive_or_none("clip_value", clip_value)
        self.output_size = positive_integer("output_size", output_size)
        self.controller = as_controller(controller, self.controller_dtype_policy)
        self.memory_size = positive_integer("memory_size", memory_size)
        self.word_size = positive_integer("word_size", word_size)
        self.num_reads = positive_integer("num_reads", num_reads)
        self.num_writes = positive_integer("num_writes", num_writes)
        self.clip_value = clip_value
        self.strength = strength
        self.usage_gradient = usage_gradient
        self.access = MemoryAccess(
            memory_size=memory_size,
            word_size=word_size,
            num_reads=num_reads,
            num_writes=num_writes,
            strength=strength,
            usage_gradient=usage_gradient,
            dtype=self.dtype_policy,
            name="memory_access",
        )
        self.output_linear = keras.layers.Dense(
            self.output_size, dtype=self.dtype_policy, name="output_linear"
        )

    @property
    def state_shapes(self):
        """`DNCState` with the shape of one sample at each leaf."""
        return DNCState(
            output=(self.output_size,),
            read_words=(self.num_reads, self.word_size),
            access=self.access.state_shapes,
            controller=controller_state_shapes(self.controller),
        )

    def controller_input_size(self, input_size):
        """Width of the input with the previous read words beside it."""
        return input_size + self.num_reads * self.word_size

    def build(self, input_shape):
        """Create the weights of controller, interface and output."""
        check_shape("inputs", input_shape, ("batch", "features"))
        batch, input_size = input_shape
        self.input_size = input_size
        if not self.controller.built:
            self.controller.build((batch, self.controller_input_size(input_size)))
        units = cell_output_size(self.controller)
        self.access.build((batch, units))
        self.output_linear.build((batch, self.controller_input_size(units)))

    def step(self, inputs, state, recorded=None):
        """Run the controller, ask the memory, answer."""
        features = self._beside_words(inputs, state.read_words)
        controlled, controller_state = self.controller(features, state.controller)
        controlled = self._clip(controlled)
        controls = self.access.controls(controlled)
        read_words, access_state, notes = self.access.step(
            controls,
            state.access,
            recorded and (recorded.state.access, recorded.notes),
        )
        output = self.output_linear(self._beside_words(controlled, read_words))
        state = DNCState(
            output=self._clip(output),
            read_words=read_words,
            access=access_state,
            controller=tree.map_structure(self._clip, controller_state),
        )
        return StepRecord(state, controls, notes)

    @property
    def replayed_states(self):
        """The two that are larger than all others together."""
        return ("memory", "link")

    @property
    def note_shapes(self):
        """The memory's `AccessNotes` with the shape of one sample at each leaf."""
        return self.access.note_shapes

    def replay(self, state, recorded):
        """Write and link again where the step has written and linked."""
        write_weights = recorded.state.access.write_weights
        return self.access.replay(state.access, write_weights, recorded.notes)

    def _beside_words(self, features, read_words):
        """Concatenate features and all read words, `(batch, size)`."""
        width = self.num_reads * self.word_size
        return ops.concatenate(
            [features, ops.reshape(read_words, (-1, width))], axis=-1
        )

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
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "num_reads": self.num_reads,
            "num_writes": self.num_writes,
            "clip_value": self.clip_value,
            "strength": self.strength,
            "usage_gradient": self.usage_gradient,
        }

    @classmethod
    def from_config(cls, config):
        """Create a cell, its controller first."""
        controller = keras.saving.deserialize_keras_object(config["controller"])
        return cls(**{**config, "controller": controller})
