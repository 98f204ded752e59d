"""A recurrent layer that takes one step, its states by name and in real shapes."""

import keras
from keras import ops
from keras import tree

from keras_dnc.cells.memory_cell import MemoryCell


def steppers_of(chain):
    """Dict from the name of each recurrent layer of a chain to its `Stepper`."""
    recurrent = [layer for layer in chain if isinstance(layer, keras.layers.RNN)]
    several = len(recurrent) > 1
    return {
        layer.name: Stepper(layer, f"{layer.name}_" if several else "")
        for layer in recurrent
    }


class Stepper:
    """A recurrent layer for one step.

    Args:
        layer: `keras.layers.RNN` of any cell.
        prefix: What comes before the name of each state.

    Attributes:
        shapes: Dict from the name of each state to the shape of one sample.
        dtype: Of every state.
        keeps_time: Whether the layer gives an output for each step.
    """

    def __init__(self, layer, prefix):
        names, shapes = _named_shapes(layer.cell)
        self.shapes = {prefix + n: s for n, s in zip(names, shapes, strict=True)}
        self.dtype = layer.cell.compute_dtype
        self.keeps_time = layer.return_sequences
        self._layer = layer
        # A layer casts the states it gives to its own precision. Between steps they
        # have to keep the cell's, as they do inside the layer.
        self._rnn = keras.layers.RNN(
            layer.cell,
            return_sequences=layer.return_sequences,
            return_state=True,
            unroll=True,
            dtype=layer.cell.dtype_policy,
        )

    def initial_state(self, batch_size):
        """Give what a sequence starts from, by name, `(batch_size, *shape)`."""
        return self._named(self._layer.get_initial_state(batch_size))

    def __call__(self, inputs, mask, request):
        """Take a step.

        Args:
            inputs: `(batch, 1, features)`.
            mask: `(batch, 1)`, or `None`.
            request: Dict that has the states by name.

        Returns:
            `(outputs, states)`, the new states by name.
        """
        initial_state = self._flat(request)
        inputs = ops.cast(inputs, self._layer.compute_dtype)
        outputs, *states = self._rnn(inputs, initial_state=initial_state, mask=mask)
        if mask is not None:
            outputs = self._held(outputs, initial_state, mask)
        return ops.cast(outputs, self._layer.compute_dtype), self._named(states)

    def _named(self, states):
        leaves = _real(self._layer.cell, tree.flatten(states))
        return {
            name: ops.reshape(leaf, (-1, *shape))
            for (name, shape), leaf in zip(self.shapes.items(), leaves, strict=True)
        }

    def _flat(self, request):
        leaves = [request[name] for name in self.shapes]
        return tree.pack_sequence_as(
            self._layer.state_size, _bordering(self._layer.cell, leaves)
        )

    def _held(self, outputs, initial_state, mask):
        """Give the output before at masked steps, where Keras on TensorFlow gives 0."""
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


def _named_shapes(cell):
    """Names and shapes of one sample's states, for any Keras RNN cell."""
    if isinstance(cell, MemoryCell):
        return cell.state_names, cell.flat_state_shapes
    if isinstance(cell, keras.layers.StackedRNNCells):
        names, shapes = [], []
        for number, child in enumerate(cell.cells):
            child_names, child_shapes = _named_shapes(child)
            names += [f"cell_{number}_{name}" for name in child_names]
            shapes += child_shapes
        return names, shapes
    sizes = tree.flatten(cell.state_size)
    return [f"state_{n}" for n in range(len(sizes))], [(size,) for size in sizes]


def _real(cell, flat):
    """Turn the rank-2 states that Keras carries into those that a user sees."""
    if isinstance(cell, MemoryCell):
        return tree.flatten(cell.unflatten(flat))
    return _of_children(_real, cell, flat)


def _bordering(cell, leaves):
    """Turn the states that a user sees into the rank-2 states that Keras carries."""
    if isinstance(cell, MemoryCell):
        leaves = iter(leaves)
        state = tree.map_shape_structure(lambda _: next(leaves), cell.state_shapes)
        return cell.flatten(state)
    return _of_children(_bordering, cell, leaves)


def _of_children(turn, cell, states):
    """Turn the states of each of several cells; those of one are what they are."""
    if not isinstance(cell, keras.layers.StackedRNNCells):
        return states
    turned, states = [], iter(states)
    for child in cell.cells:
        own = [next(states) for _ in tree.flatten(child.state_size)]
        turned += turn(child, own)
    return turned
