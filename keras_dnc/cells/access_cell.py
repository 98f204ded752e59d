"""A controller with an external memory, as one RNN cell."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Self, cast

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_positive_or_none
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.cells.access import AccessStep
from keras_dnc.cells.access import BaseAccess
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import as_controller
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.controllers import controller_state_shapes
from keras_dnc.cells.dense import dense_output
from keras_dnc.cells.dropout import SequenceDropout
from keras_dnc.cells.layers import layers_of
from keras_dnc.cells.memory_cell import CellStep
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.cells.precision import full_precision
from keras_dnc.signature import check_names
from keras_dnc.signature import passes_on
from keras_dnc.typing import Controls, DType, Shape, State, Tensor

_ONE_STEP = (
    ", one step of the sequences (batch, time, features) that the layer around the "
    "cell takes"
)


class CellState(NamedTuple):
    """The state of an `AccessCell`.

    Attributes:
        output: `(batch, output_size)`, in [-`clip_value`, `clip_value`].
        read_words: `(batch, num_reads, word_size)`.
        access: The state of the memory and its addressing, a NamedTuple.
        controller: The states of the controller, in the structure that it takes.
    """

    output: Tensor
    read_words: Tensor
    access: State
    controller: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class AccessCell(MemoryCell):
    r"""A controller that writes to and reads from one memory, `access`.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{access}(\nu_t)$$
    $$y_t = W [d \circ \nu_t; r^1_t; \dots; r^R_t]$$

    with d the dropout mask of `bypass_dropout`, 1 except in training.

    Args:
        output_size: Numbers in the output.
        controller: Number of LSTM units, or any RNN cell whose states are rank 2.
        access: The memory, a `BaseAccess` layer that no other cell uses.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for no bound. Defaults to 20.
        bypass_dropout: Fraction of the controller's output that is dropped, in
            training, on the way to the output of the cell, so that the output has to
            use the memory; at least 0 and below 1. Defaults to 0.
        lstm: Class of the LSTM made from a number of units. Defaults to
            `FusedLSTMCell`.
        dtype: Policy of an LSTM made from units; under a mixed or half-precision policy
            the memory computes in float32. A controller that is passed has its own.
            Defaults to Keras's global policy.
        name: Name of the layer. Defaults to a generated one.
        trainable: Whether the weights are trained. Defaults to `True`.

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If a size is not a positive integer, `controller` is neither a
            positive integer nor an RNN cell, `access` is no memory, `lstm` is not a
            class of layers, `clip_value` or `bypass_dropout` is out of range, a layer
            of `controller` or `access` is not built by its `build`, or inputs or states
            have the wrong shape.

    Example:
        >>> import keras_dnc
        >>> access = keras_dnc.LRUAccess(memory_size=16, word_size=8)
        >>> cell = AccessCell(5, controller=32, access=access)
        >>> keras.layers.RNN(cell)(keras.Input((None, 3))).shape
        (None, 5)
    """

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer,
        access: BaseAccess,
        clip_value: float | None = 20.0,
        bypass_dropout: float = 0.0,
        lstm: type[keras.Layer] = FusedLSTMCell,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(dtype=dtype, name=name, trainable=trainable)
        self._check_layers(access, lstm)
        check_positive_or_none("clip_value", clip_value)
        self.output_size = positive_integer("output_size", output_size)
        self.controller = as_controller(controller, self.controller_dtype_policy, lstm)
        self.clip_value = clip_value
        self.bypass_dropout = probability("bypass_dropout", bypass_dropout)
        self.bypass = SequenceDropout(bypass_dropout, dtype=self.dtype_policy)
        self.access = access

    @staticmethod
    def _check_layers(access: Any, lstm: Any) -> None:
        """Raise a `ValueError` unless these are a memory and a class of layers."""
        if not isinstance(access, BaseAccess):
            raise ValueError(
                "Argument `access` must be a memory, a `BaseAccess` layer. "
                f"Received: access={access!r}"
            )
        if not isinstance(lstm, type) or not issubclass(lstm, keras.Layer):
            raise ValueError(
                f"Argument `lstm` must be a class of layers. Received: lstm={lstm!r}"
            )

    @property
    def memory_size(self) -> int:
        """Slots of the memory."""
        return self.access.memory_size

    @property
    def word_size(self) -> int:
        """Numbers in a slot of the memory."""
        return self.access.word_size

    @property
    def num_reads(self) -> int:
        """Read heads of the memory."""
        return self.access.num_reads

    @property
    def control_biases(self) -> dict[str, Any]:
        """Dict from names of controls to their biases before training."""
        return self.access.control_biases

    @property
    def state_shapes(self) -> CellState:
        """`CellState` with the shape of one batch element at each leaf."""
        return CellState(
            output=(self.output_size,),
            read_words=(self.num_reads, self.word_size),
            access=self.access.state_shapes,
            controller=controller_state_shapes(self.controller),
        )

    @property
    def parts_with_dropout(self) -> list[keras.Layer]:
        """The controller, and the dropout between its output and that of the cell."""
        return [self.controller, self.bypass]

    def get_dropout_mask(self, step_input: Tensor) -> None:
        """Create the dropout masks of controller and bypass, before the loop.

        Args:
            step_input: `(batch, features)`, an input of the cell.
        """
        super().get_dropout_mask(step_input)
        shape = (ops.shape(step_input)[0], cell_output_size(self.controller))
        self.bypass.get_dropout_mask(ops.zeros(shape, self.compute_dtype))

    def controller_input_size(self, input_size: int) -> int:
        """Return the number of features that the controller gets.

        Args:
            input_size: Features of the input of the cell.

        Returns:
            Features of the input and of the previous read words together.
        """
        return input_size + self.num_reads * self.word_size

    def build(self, input_shape: Shape) -> None:
        """Create the weights of controller, memory and output.

        Args:
            input_shape: `(batch, features)`.
        """
        check_shape("inputs", input_shape, ("batch", "features"), _ONE_STEP)
        batch, self.input_size = input_shape[0], cast(int, input_shape[1])
        if not self.controller.built:
            self.controller.build((batch, self.controller_input_size(self.input_size)))
        units = cell_output_size(self.controller)
        if not self.access.built:
            self.access.build((batch, units))
        self.output_linear = keras.layers.Dense(
            self.output_size, dtype=self.dtype_policy, name="output_linear"
        )
        self.output_linear.build((batch, self.controller_input_size(units)))
        # Layers without weights are marked as built, too: on JAX, Keras runs a model
        # that has a layer not built once more before each batch.
        for layer in layers_of(self)[1:]:
            if not layer.built and type(layer).build is not keras.Layer.build:
                raise ValueError(
                    "Arguments `controller` and `access` must build all of their "
                    "layers in `build`, because a recurrence cannot create weights. "
                    f"Received: one whose layer {layer!r} is not built"
                )
            layer.built = True

    def decode(self, state: CellState) -> CellState:
        """Prepare a state that comes from Keras for a step, by the memory's `decode`.

        Args:
            state: A `CellState`, each leaf `(batch, *shape)`.

        Returns:
            A `CellState`.
        """
        return state._replace(access=self.access.decode(state.access))

    def step(self, inputs: Tensor, state: CellState) -> CellStep:
        """Take one step in named state: controller, memory, output.

        Args:
            inputs: `(batch, features)`.
            state: The previous `CellState`.

        Returns:
            A `CellStep`.
        """
        return self.step_with(self.access.step, inputs, state)

    def step_with(
        self,
        use_memory: Callable[[Controls, State], AccessStep],
        inputs: Tensor,
        state: CellState,
    ) -> CellStep:
        """Take one step with a given function for the memory.

        Args:
            use_memory: Function of the controls and of the previous state of the memory
                that returns an `AccessStep`.
            inputs: `(batch, features)`.
            state: The previous `CellState`.

        Returns:
            A `CellStep`.
        """
        features = self._with_words(inputs, state.read_words)
        controlled, controller_state = self.controller(features, state.controller)
        controlled = self._clip(controlled)
        controls = self.access.controls(controlled)
        read_words, access_state, found = use_memory(controls, state.access)
        seen = self._with_words(self.bypass(controlled), read_words)
        output = dense_output(self.output_linear, seen)
        new = CellState(
            output=self._clip(output),
            read_words=read_words,
            access=access_state,
            controller=tree.map_structure(self._clip, controller_state),
        )
        return CellStep(new, controls, found)

    def _with_words(self, features: Tensor, read_words: Tensor) -> Tensor:
        """Concatenate features and all read words, `(batch, size)`."""
        words = ops.reshape(read_words, (-1, self.controller_input_size(0)))
        return ops.concatenate([features, words], axis=-1)

    def _clip(self, tensor: Tensor) -> Tensor:
        """Cast results of half precision to float32, and clip them."""
        tensor = ops.cast(tensor, self.compute_dtype)
        if self.clip_value is None:
            return tensor
        return ops.clip(tensor, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, `access` or those of the memory."""
        serialize = keras.saving.serialize_keras_object
        is_general = "access" in inspect.signature(type(self).__init__).parameters
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "controller": serialize(self.controller),
            "clip_value": self.clip_value,
            "bypass_dropout": self.bypass_dropout,
            **({"access": serialize(self.access)} if is_general else {}),
            **({} if is_general else self.access.get_options()),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a cell from its config.

        Args:
            config: Dict of the constructor's arguments, with the configs of layers.

        Returns:
            A new cell.
        """
        layers: dict[str, Any] = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("controller", "access")
            if name in config
        }
        return cls(**{**config, **layers})


_OF_THE_CELL = ("clip_value", "bypass_dropout", "dtype", "name", "trainable")


def cell_around(memory: type[BaseAccess]) -> Callable[[type], type]:
    """Return a decorator for a cell that passes `**options` on to one memory.

    Its signature and its docstring get the arguments of `AccessCell` and of the memory.

    Args:
        memory: The class of the memory.
    """
    return passes_on(AccessCell, memory, without=("access", "lstm"))


def split_options(
    options: dict[str, Any], cell: type | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the keyword arguments of a cell into its own and those of its memory.

    Args:
        options: Dict from names to values.
        cell: The class of the cell, whose signature has the names; `None` to take any.
            Defaults to `None`.

    Returns:
        `(own, options)`; the latter include dtype and name of the memory.

    Raises:
        ValueError: If the cell has no argument of such a name.
    """
    if cell is not None:
        check_names(options, cell)
    own = {name: options[name] for name in _OF_THE_CELL if name in options}
    others = {name: value for name, value in options.items() if name not in own}
    dtype = full_precision(own.get("dtype"))
    return own, {"name": "access", "dtype": dtype, **others}
