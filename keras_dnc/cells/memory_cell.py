"""Named state inside a cell, a flat list of rank-2 tensors at the border with Keras.

`keras.layers.RNN` carries a list of `(batch, features)` tensors from step to step. Any
other rank breaks under masks, and an axis that happens to equal the batch is masked
along the wrong axis without an error. A memory cell computes with named tensors of real
shapes instead; `MemoryCell` converts between the two.
"""

import math
from typing import Any
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_shape
from keras_dnc.cells.dropout import DropoutRNNCell
from keras_dnc.cells.dropout import prime_dropout
from keras_dnc.cells.dropout import reset_dropout
from keras_dnc.cells.precision import check_not_half_precision
from keras_dnc.cells.precision import full_precision
from keras_dnc.typing import Controls
from keras_dnc.typing import DType
from keras_dnc.typing import Fields
from keras_dnc.typing import Shape
from keras_dnc.typing import State
from keras_dnc.typing import Tensor
from keras_dnc.typing import Tensors


class CellStep(NamedTuple):
    """The result of one step of a memory cell.

    Attributes:
        state: The new state, a NamedTuple of the cell's own; its first field is the
            output of the step, `(batch, output_size)`.
        controls: The controls that the controller has emitted, a NamedTuple.
        found: Dict from names to what the step found besides: tensors `(batch, ...)`
            that are no states, such as the slots that a sparse memory has written.
    """

    state: State
    controls: Controls
    found: Fields


class MemoryCell(keras.layers.Layer, DropoutRNNCell):
    """Base of every recurrent cell with an external memory.

    A subclass has `state_shapes`, `build` and `step`; this class implements the rest
    of what `keras.layers.RNN` needs of a cell: `state_size`, `call`,
    `get_initial_state`, and the controller's dropout masks.

    Precision: under a mixed or half-precision policy only the controller computes in
    half precision; the memory and its addressing stay in float32.

    Args:
        dtype: Policy of a controller that the cell makes itself (one that is passed
            has its own); the cell's is float32 where this one computes in half
            precision, and the same otherwise. Defaults to Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Attributes:
        controller: The recurrent cell that drives the memory.
        controller_dtype_policy: The policy passed as `dtype`.
        input_size: Features of the input, known once the cell is built.
    """

    controller: keras.Layer
    input_size: int

    def __init__(self, dtype: DType = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.controller_dtype_policy = keras.dtype_policies.get(dtype)

    @property
    def state_shapes(self) -> State:
        """The cell's state NamedTuple, the shape of one batch element at each leaf.

        The first leaf is the previous output, `(output_size,)`: Keras's loop on JAX
        takes the first state as the output of a masked step.
        """
        raise NotImplementedError

    def step(self, inputs: Tensor, state: State) -> CellStep:
        """Take one step in named state.

        Args:
            inputs: `(batch, features)`.
            state: The cell's state NamedTuple, real shapes.

        Returns:
            A `CellStep`.
        """
        raise NotImplementedError

    def decode(self, state: State) -> State:
        """Return named state in which a fresh start has its initial values.

        Keras starts, and resets, a layer with zeros. A cell whose sequences start with
        other values, such as learned ones, recognises batch elements of that all-zero
        state here and fills them in.

        Args:
            state: The cell's state NamedTuple, real shapes.
        """
        return state

    @property
    def parts_with_dropout(self) -> list[keras.Layer]:
        """The cells and layers inside that may hold dropout masks, in a fixed order."""
        return [self.controller]

    @property
    def numbers_slots(self) -> bool:
        """Whether states are slot numbers, which half precision would round."""
        return False

    def controller_input_size(self, input_size: int) -> int:
        """Return the width of the controller's input for `input_size` features."""
        raise NotImplementedError

    def call(
        self, inputs: Tensor, states: Tensors, training: bool = False
    ) -> tuple[Tensor, Tensors]:
        """Take one step at the border with Keras.

        Args:
            inputs: `(batch, features)`.
            states: List of `(batch, size)`, one entry per number in `state_size`.
            training: Whether dropout is on; reaches the controller by Keras's own
                call context. Defaults to `False`.

        Returns:
            `(output, states)`: `(batch, output_size)` and the new list.

        Raises:
            ValueError: Inputs or states of the wrong shape.
        """
        check_shape("inputs", inputs.shape, ("batch", self.input_size))
        state = self.step(inputs, self.unflatten(states)).state
        return tree.flatten(state)[0], self.flatten(state)

    @property
    def state_size(self) -> list[int]:
        """Features of each rank-2 state, in the order of `flatten`."""
        return [math.prod(shape) for shape in self.flat_state_shapes]

    @property
    def flat_state_shapes(self) -> list[Shape]:
        """Shape of one batch element of each state, in the order of `flatten`."""
        shapes: list[Shape] = []
        tree.map_shape_structure(shapes.append, self.state_shapes)
        return shapes

    @property
    def state_names(self) -> list[str]:
        """Name of each state, in the order of `flatten`: field by field, list by list.

        Such as `"memory"` for `state.access.memory` and `"controller_1"` for
        `state.controller[1]`.
        """
        return leaf_names(self.state_shapes, "")

    def flatten(self, state: State) -> Tensors:
        """Convert named state into the flat list that `keras.layers.RNN` carries."""
        return [
            ops.reshape(leaf, (-1, size))
            for leaf, size in zip(tree.flatten(state), self.state_size, strict=True)
        ]

    def unflatten(self, states: Tensors) -> State:
        """Convert the flat list of `keras.layers.RNN` into named state, real shapes.

        Args:
            states: List of `(batch, size)`, one entry per number in `state_size`.

        Returns:
            The cell's state NamedTuple, each leaf `(batch, *shape)`.

        Raises:
            ValueError: A wrong number of states, or a state of the wrong shape.
        """
        states = tree.flatten(states)
        if len(states) != len(self.state_size):
            raise ValueError(
                f"Argument `states` must be a list of {len(self.state_size)} tensors. "
                f"Received: {len(states)} tensors"
            )
        for index, (tensor, size) in enumerate(
            zip(states, self.state_size, strict=True)
        ):
            check_shape(f"states[{index}]", tensor.shape, ("batch", size))
        leaves = iter(states)
        return self.decode(
            tree.map_shape_structure(
                lambda shape: ops.reshape(next(leaves), (-1, *shape)), self.state_shapes
            )
        )

    def get_initial_state(self, batch_size: int | Tensor | None = None) -> Tensors:
        """Return the all-zero state, with the controller's own initial state inside.

        Args:
            batch_size: Sequences in the batch, an integer or a scalar tensor.

        Returns:
            List of `(batch, size)`, one entry per number in `state_size`.
        """
        state = tree.map_shape_structure(
            lambda shape: ops.zeros((batch_size, *shape), dtype=self.compute_dtype),
            self.state_shapes,
        )
        if hasattr(self.controller, "get_initial_state"):
            controller_state = self.controller.get_initial_state(batch_size=batch_size)
            state = state._replace(
                controller=tree.map_structure(
                    lambda tensor: ops.cast(tensor, self.compute_dtype),
                    controller_state,
                )
            )
        return self.flatten(state)

    # The four hooks of DropoutRNNCell. Keras calls them around its loop with the raw
    # input; the controller's masks have to be as wide as the controller's own input.

    def get_dropout_mask(self, step_input: Tensor) -> None:
        """Make the controller's dropout masks, before the loop.

        The one hook that Keras calls on a cell with the layer's own input, so that a
        layer of half precision can be refused here.
        """
        if self.numbers_slots:
            check_not_half_precision(step_input.dtype)
        width = self.controller_input_size(step_input.shape[-1])
        prime_dropout(self.controller, ops.shape(step_input)[0], width)

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> None:
        """Do nothing: `get_dropout_mask` has made both masks."""

    def reset_dropout_mask(self) -> None:
        """Drop the controller's dropout masks, after the loop."""
        reset_dropout(self)

    def reset_recurrent_dropout_mask(self) -> None:
        """Do nothing: `reset_dropout_mask` has dropped both masks."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, the policy as it was passed."""
        policy = keras.dtype_policies.serialize(self.controller_dtype_policy)
        return {**super().get_config(), "dtype": policy}


def leaf_names(shapes: Any, name: str) -> list[str]:
    """Return the names of the leaves of nested NamedTuples and lists."""
    if hasattr(shapes, "_asdict"):
        fields = shapes._asdict().items()
        return [leaf for key, child in fields for leaf in leaf_names(child, key)]
    if isinstance(shapes, list):
        children = enumerate(shapes)
        return [
            leaf for n, child in children for leaf in leaf_names(child, f"{name}_{n}")
        ]
    return [name]


def named_leaves(state: Any, shapes: State) -> State:
    """Return `state` with the structure of `shapes`, each leaf checked.

    A model that was loaded passes nested lists.

    Raises:
        ValueError: A leaf of the wrong shape.
    """
    leaves, names = iter(tree.flatten(state)), iter(leaf_names(shapes, ""))

    def check(shape: Shape) -> Tensor:
        tensor = next(leaves)
        check_shape(f"state.{next(names)}", tensor.shape, ("batch", *shape))
        return tensor

    return tree.map_shape_structure(check, shapes)
