"""RNN cells as pure functions of flat lists of tensors.

The backward pass runs a step again when Keras has long left the layer's call, so that
everything that the step reads from around it is passed in: weights and other variables,
dropout masks, and whether it trains.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.backend.keras_internals import AutocastScope
from keras_dnc.bptt.scan import Sequence
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.dropout import get_dropout_masks
from keras_dnc.cells.dropout import set_dropout_masks
from keras_dnc.typing import Tensor, Tensors


class PureCell:
    """Any Keras RNN cell. The state is the previous output and then the cell's states.

    Args:
        cell: A built cell.
        states: Its first states, as `keras.layers.RNN` carries them.
        training: Whether dropout is on.
    """

    def __init__(self, cell: keras.Layer, states: Any, training: bool) -> None:
        self.cell = cell
        self.states = states
        self._masks = get_dropout_masks(cell)
        # Keras, too, calls a cell that is written without `training` without it.
        takes_training = "training" in inspect.signature(cell.call).parameters
        self._flags = {"training": training} if takes_training else {}

    def sequence(self, inputs: Tensor, mask: Tensor | None) -> Sequence:
        """Return the arguments of a recurrence over `inputs`, time first."""
        masks = [mask for mask in tree.flatten(self._masks) if mask is not None]
        with AutocastScope(None):
            weights = [variable.value for variable in self.cell.trainable_variables]
            others = [variable.value for variable in self.cell.non_trainable_variables]
        return Sequence(
            weights=weights,
            inputs=inputs,
            constants=[*others, *masks],
            mask=[] if mask is None else [ops.cast(mask, "bool")],
        )

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the first state, the previous output first."""
        stacked = isinstance(self.cell, keras.layers.StackedRNNCells)
        output = tree.flatten(self.states[-1] if stacked else self.states)[0]
        size = cell_output_size(self.cell)
        if output.shape[-1] != size:
            output = ops.zeros((batch_size, size), output.dtype)
        return [output, *tree.flatten(self.states)]

    def at_the_border(self, state: Tensors) -> Any:
        """Return the states as `keras.layers.RNN` carries them."""
        return tree.pack_sequence_as(self.states, state[1:])

    def step(self, sequence: Sequence, inputs: Tensor, state: Tensors) -> Tensors:
        """Take a step; return the new state."""
        with self.surroundings(sequence):
            states = tree.pack_sequence_as(self.states, state[1:])
            output, states = self.cell(inputs, states, **self._flags)
        return [output, *tree.flatten(states)]

    @contextlib.contextmanager
    def surroundings(self, sequence: Sequence) -> Iterator[None]:
        """Replace the cell's variables and dropout masks by those of `sequence`."""
        others = self.cell.non_trainable_variables
        variables = [*self.cell.trainable_variables, *others]
        values = [*sequence.weights, *sequence.constants[: len(others)]]
        masks = iter(sequence.constants[len(others) :])
        held = get_dropout_masks(self.cell)
        set_dropout_masks(
            self.cell,
            tree.map_structure(
                lambda mask: None if mask is None else next(masks), self._masks
            ),
        )
        with AutocastScope(None):
            scope = keras.StatelessScope(zip(variables, values, strict=True))
        before = [scope.get_current_value(variable) for variable in variables]
        try:
            with scope:
                yield
        finally:
            set_dropout_masks(self.cell, held)
        for variable, value in zip(variables, before, strict=True):
            if scope.get_current_value(variable) is not value:
                raise ValueError(
                    "Argument `cell` must not update a variable in its steps, unless "
                    "`recompute=0`: a step that is taken twice would update it twice. "
                    f"Received: cell={self.cell!r}, which updates {variable.path!r}"
                )


class PureMemoryCell(PureCell):
    """A `MemoryCell`. The state is its own, flat."""

    def __init__(self, cell: keras.Layer, states: Any, training: bool) -> None:
        super().__init__(cell, states, training)
        self._in_call = _InCall(dtype=cell.dtype_policy, autocast=False)

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the leaves of the first state."""
        return tree.flatten(self.cell.unflatten(self.states))

    def at_the_border(self, state: Tensors) -> Tensors:
        """Return the states as `keras.layers.RNN` carries them."""
        return self.cell.flatten(self.named(state))

    def named(self, state: list[Tensor | None]) -> Any:
        """Return the leaves as named state of real shapes, `None` where one is."""
        leaves = iter(state)

        def shaped(shape):
            leaf = next(leaves)
            return None if leaf is None else ops.reshape(leaf, (-1, *shape))

        return tree.map_shape_structure(shaped, self.cell.state_shapes)

    def step(self, sequence: Sequence, inputs: Tensor, state: Tensors) -> Tensors:
        """Take a step; return the new state."""
        named = self.named(state)

        def step(inputs: Tensor) -> Tensors:
            return tree.flatten(self.cell.step(inputs, named).state)

        return self.run(sequence, inputs, step)

    def run(
        self, sequence: Sequence, inputs: Tensor, step: Callable[[Tensor], Any]
    ) -> Any:
        """Run a function of the inputs, in the surroundings of a step."""
        with self.surroundings(sequence):
            return self._in_call(inputs, step=step, **self._flags)


class _InCall(keras.layers.Layer):
    """Runs a function inside Keras's call context, by which layers learn `training`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True

    def call(
        self, inputs: Tensor, step: Callable[[Tensor], Any], training: bool = False
    ) -> Any:
        return step(inputs)
