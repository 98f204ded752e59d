"""One step of a memory, as a controller asks for it: what every paper shares."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.interface import Interface
from keras_dnc.cells.memory_cell import named_leaves
from keras_dnc.cells.precision import full_precision


class Access(keras.layers.Layer):
    """Base of the layers that a controller asks for words.

    A subclass calls `_create_interface` at the end of its constructor, and gives
    `state_shapes`, `note_shapes`, `_control_shapes`, `controls`, `step` and, unless
    `replayed_states` is `None`, `replay`; its state has a field `write_weights` then.

    Attributes:
        options: Names of those of its arguments that become attributes of the cell
            around it, and stand in both configs as they are.
        replayed_states: As in `MemoryCell`.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.
    """

    options: tuple[str, ...] = ()
    replayed_states: Any = ("memory",)

    def __init__(
        self,
        memory_size: int,
        word_size: int,
        num_reads: int,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.memory_size = positive_integer("memory_size", memory_size)
        self.word_size = positive_integer("word_size", word_size)
        self.num_reads = positive_integer("num_reads", num_reads)

    def _create_interface(
        self, control_biases: Mapping[str, Any] | None, normalize: bool = False
    ) -> None:
        shapes = self._control_shapes()
        self.interface = Interface(
            {name: shape for name, shape in shapes.items() if shape},
            normalize,
            control_biases,
            dtype=self.dtype_policy,
            name="interface",
        )
        self.control_biases = self.interface.control_biases

    def _control_shapes(self):
        """Dict from each control to what `Interface` takes, `None` for no such one."""
        raise NotImplementedError

    @property
    def state_shapes(self):
        """The state, a NamedTuple with the shape of one sample at each leaf."""
        raise NotImplementedError

    @property
    def note_shapes(self):
        """The notes of a step, shapes of one sample, or `None` for none."""
        return None

    def get_initial_state(self, batch_size):
        """Give a state of zeros: nothing written, nothing read."""
        return tree.map_shape_structure(
            lambda shape: ops.zeros((batch_size, *shape), dtype=self.compute_dtype),
            self.state_shapes,
        )

    def build(self, inputs_shape, state_shape=None):
        """Create the weights of the interface."""
        check_shape("inputs", inputs_shape, ("batch", "features"))
        self.interface.build(inputs_shape)

    def call(self, inputs, state):
        """Write and read as `inputs` ask."""
        check_shape("inputs", inputs.shape, ("batch", "features"))
        state = named_leaves(state, self.state_shapes)
        return self.step(self.controls(inputs), state)[:2]

    def controls(self, inputs):
        """Give the controls that the controller's output stands for, a NamedTuple."""
        raise NotImplementedError

    def step(self, controls, state, recorded=None):
        """Take one step.

        Args:
            controls: What `controls` gives.
            state: The state before, as `state_shapes`.
            recorded: `(state, notes)` of the same step when it was taken before, for
                back-propagation to take over, or `None`: the cell's state, what is
                `None` in it is computed again, and the notes.

        Returns:
            `(read_words, state, notes)`: `(batch, num_reads, word_size)`, the new
            state, and what back-propagation takes over, as `note_shapes`.
        """
        raise NotImplementedError

    def replay(self, state, write_weights, notes):
        """Give the new `replayed_states` of a step that was taken before.

        Args:
            state: The state before the step.
            write_weights: Where the step has written.
            notes: Its notes.
        """
        raise NotImplementedError

    def get_options(self):
        """Dict from each argument of a cell around it to its value in a config."""
        biases = self.interface.get_config()["control_biases"]
        options = {name: getattr(self, name) for name in self.options}
        return {**options, "control_biases": biases}

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), **self.get_options()}
