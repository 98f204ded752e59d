"""Single steps of a recurrent layer, with named states in their real shapes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.typing import Fields, Tensor


def steppers_of(chain: Iterable[keras.Layer]) -> "dict[str, Stepper]":
    """Build a `Stepper` for each recurrent layer of a chain of layers.

    Args:
        chain: Layers in the order in which they run.

    Returns:
        Dict from layer names to steppers. With several recurrent layers, the names of
        the states start with the name of their layer.
    """
    recurrent = [layer for layer in chain if isinstance(layer, keras.layers.RNN)]
    several = len(recurrent) > 1
    return {
        layer.name: Stepper(layer, f"{layer.name}_" if several else "")
        for layer in recurrent
    }


class Stepper:
    """A recurrent layer that runs one step per call.

    Args:
        layer: `keras.layers.RNN` of any cell.
        prefix: Start of the name of each state; may be empty.

    Attributes:
        shapes: Dict from state names to shapes without the batch axis.
        dtype: Data type of every state.
        keeps_time: Whether the layer returns an output for each step.
    """

    shapes: dict[str, tuple[int, ...]]
    dtype: str
    keeps_time: bool

    def __init__(self, layer: keras.layers.RNN, prefix: str) -> None:
        names, shapes = _named_shapes(layer.cell)
        self.shapes = {prefix + n: s for n, s in zip(names, shapes, strict=True)}
        self.dtype = layer.cell.compute_dtype
        self.keeps_time = layer.return_sequences
        self._layer = layer
        # A layer casts the states that it returns to its own precision. Between steps
        # they must keep the cell's precision, as they do inside the layer.
        self._rnn = keras.layers.RNN(
            layer.cell,
            return_sequences=layer.return_sequences,
            return_state=True,
            unroll=True,
            dtype=layer.cell.dtype_policy,
        )

    def initial_state(self, batch_size: int | Tensor) -> dict[str, Tensor]:
        """Return the states at the start of a sequence.

        Args:
            batch_size: Number of sequences.

        Returns:
            Dict from state names to tensors `(batch_size, *shape)`.
        """
        states = self._layer.get_initial_state(batch_size)
        return self._named(_started(self._layer.cell, states))

    def __call__(
        self, inputs: Tensor, mask: Tensor | None, request: Fields
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run one step.

        Args:
            inputs: `(batch, 1, features)`.
            mask: `(batch, 1)`, booleans, false where the step is skipped; or `None`.
            request: Dict that holds the states by name, `(batch, *shape)`, possibly
                among other tensors.

        Returns:
            `(outputs, states)`: outputs `(batch, 1, output_size)` if `keeps_time`,
            otherwise `(batch, output_size)`; and a dict from names to new states.
        """
        initial_state = self._flat(request)
        inputs = ops.cast(inputs, self._layer.compute_dtype)
        outputs, *states = self._rnn(inputs, initial_state=initial_state, mask=mask)
        if mask is not None:
            outputs = self._held(outputs, initial_state, mask)
        return ops.cast(outputs, self._layer.compute_dtype), self._named(states)

    def _named(self, states: Any) -> dict[str, Tensor]:
        """Return the states of the layer by name, in their real shapes."""
        return {
            name: ops.reshape(leaf, (-1, *shape))
            for (name, shape), leaf in zip(
                self.shapes.items(), tree.flatten(states), strict=True
            )
        }

    def _flat(self, request: Fields) -> Any:
        """Return the states of a request in the structure that the layer takes."""
        leaves = [
            ops.reshape(request[name], (-1, math.prod(shape)))
            for name, shape in self.shapes.items()
        ]
        return tree.pack_sequence_as(self._layer.state_size, leaves)

    def _held(self, outputs: Tensor, initial_state: Any, mask: Tensor) -> Tensor:
        """Repeat the output before at masked steps, where Keras on TensorFlow has 0."""
        stacked = isinstance(self._rnn.cell, keras.layers.StackedRNNCells)
        before = tree.flatten(initial_state[-1] if stacked else initial_state)[0]
        if before.shape[-1] != outputs.shape[-1]:  # no state of this cell holds it
            return outputs
        before = ops.cast(before, outputs.dtype)
        if self._layer.zero_output_for_mask:
            before = ops.zeros_like(before)
        if self._rnn.return_sequences:
            return ops.where(mask[:, :, None], outputs, before[:, None])
        return ops.where(mask, outputs, before)


def _named_shapes(cell: keras.Layer) -> tuple[Sequence[str], Sequence[tuple[int, ...]]]:
    """Return names and shapes, without batch axis, of the states of any RNN cell."""
    if isinstance(cell, MemoryCell):
        return cell.state_names, cell.flat_state_shapes
    if isinstance(cell, keras.layers.StackedRNNCells):
        names: list[str] = []
        shapes: list[tuple[int, ...]] = []
        for number, child in enumerate(cell.cells):
            child_names, child_shapes = _named_shapes(child)
            names += [f"cell_{number}_{name}" for name in child_names]
            shapes += child_shapes
        return names, shapes
    sizes = tree.flatten(cell.state_size)
    return [f"state_{n}" for n in range(len(sizes))], [(size,) for size in sizes]


def _started(cell: keras.Layer, states: Any) -> Any:
    """Return the first states of any RNN cell, those of memory cells decoded."""
    if isinstance(cell, MemoryCell):
        return cell.flatten(cell.unflatten(states))
    if isinstance(cell, keras.layers.StackedRNNCells):
        children = zip(cell.cells, states, strict=True)
        return [_started(child, own) for child, own in children]
    return states
