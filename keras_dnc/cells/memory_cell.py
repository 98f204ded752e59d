"""Named state inside a cell, a flat list of rank-2 tensors at the border with Keras.

`keras.layers.RNN` carries a list of `(batch, features)` tensors from step to step. Any
other rank breaks under masks, and an axis that happens to equal the batch is masked
along the wrong axis without an error. A memory cell thinks in named tensors of real
shapes instead. `MemoryCell` stands at the border and translates.
"""

import math
import operator
from typing import Any
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.arguments import check_shape
from keras_dnc.cells.dropout import DropoutRNNCell
from keras_dnc.cells.dropout import prime_dropout
from keras_dnc.cells.dropout import reset_dropout
from keras_dnc.cells.precision import check_not_half_precision
from keras_dnc.cells.precision import full_precision


class StepRecord(NamedTuple):
    """What one step of a memory cell gives.

    Attributes:
        state: The new state, a NamedTuple of the cell's own; its first field is the
            output of the step, `(batch, output_size)`.
        controls: What the controller asked of the memory, a NamedTuple.
        notes: Small tensors that back-propagation takes over, a NamedTuple or `None`.
    """

    state: Any
    controls: Any
    notes: Any = None


def recall(recorded, computed):
    """Give `recorded` where there is such a tensor, with the gradient of `computed`.

    Back-propagation runs a step a second time. Where it takes over what the first time
    gave, a last bit cannot change the order of slots, and XLA leaves out what nothing
    reads any more.

    Args:
        recorded: A tensor, or `None`.
        computed: What the same computation gives this time.
    """
    if recorded is None:
        return computed
    return _take_over([computed, recorded])[0]


def _take_over(tensors):
    function = backend.with_gradient(
        lambda tensors, save: ([tensors[1]], ()),
        lambda tensors, saved, gradients: [gradients[0], None],
        save=True,
    )
    return function(tensors)


class MemoryCell(keras.layers.Layer, DropoutRNNCell):
    """Base of every recurrent cell with an external memory.

    A subclass gives `state_shapes`, `build` and `step`; this class gives everything
    that `keras.layers.RNN` asks of a cell: `state_size`, `call`, `get_initial_state`,
    and the controller's dropout masks.

    Precision: under a mixed or half-precision policy only the controller computes in
    half precision; the memory and its addressing stay in float32.

    Args:
        dtype: Policy of a controller that the cell makes itself (one that is passed
            has its own); the cell's is float32 where this one computes in half
            precision, and the same otherwise.
        **kwargs: `name` and `trainable`, as in `keras.layers.Layer`.

    Attributes:
        controller: The recurrent cell that drives the memory.
        controller_dtype_policy: The policy given as `dtype`.
        input_size: Features of the input, known once the cell is built.
    """

    def __init__(self, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.controller_dtype_policy = keras.dtype_policies.get(dtype)

    @property
    def state_shapes(self):
        """The cell's state NamedTuple, with the shape of one sample at each leaf.

        The first leaf is the previous output, `(output_size,)`: Keras's loop on JAX
        takes the first state as the output of a masked step.
        """
        raise NotImplementedError

    @property
    def fresh_state(self):
        """What the all-zero flat state stands for, where that is not zero.

        Dict from names of states to tensors `(1, *shape)`. Keras starts, and resets,
        a layer with zeros, so that the flat state is what a fresh one lacks.
        """
        return {}

    def step(self, inputs, state, recorded=None):
        """Take one step in named state.

        Args:
            inputs: `(batch, features)`.
            state: The cell's state NamedTuple, real shapes.
            recorded: The `StepRecord` of the same step when it was taken before, `None`
                in place of controls and of `replayed_states`. A cell may take its
                numbers over instead of computing them again; see `recall`.

        Returns:
            A `StepRecord`.
        """
        raise NotImplementedError

    @property
    def replayed_states(self):
        """Names of the states that `replay` recomputes, or `None`.

        `MemoryRNN` stores these once per chunk of steps and all others at every step.
        `None` has it store every state once per chunk, and run `step` again.
        """
        return None

    @property
    def parts_with_dropout(self):
        """The cells and layers inside that may hold dropout masks, in a fixed order."""
        return [self.controller]

    @property
    def numbers_slots(self):
        """Whether states number slots: a layer of half precision would round them."""
        return False

    @property
    def edited_states(self):
        """Names of the states that a step edits in place, the memory first, or `None`.

        Of such a cell, `MemoryRNN` keeps neither copies of these states nor recomputes
        them; see `core.in_place`. Its `note_shapes` has a field `touched`. Its `step`
        takes `active`, `(batch,)`: in other samples these states stay as they are. When
        a step was taken before, its memory stands for the rows at `Touched.read`, and
        it gives as the new memory what it adds at `Touched.written`.
        """
        return None

    @property
    def note_shapes(self):
        """The notes of a `StepRecord`, shapes of one sample, or `None` for none."""
        return None

    def replay(self, state, recorded):
        """Recompute the large states of a step, for back-propagation.

        Args:
            state: The state before the step.
            recorded: The step's `StepRecord`, as `step` takes it.

        Returns:
            The new states in `replayed_states`, in the order of `flatten`.
        """
        raise NotImplementedError

    def observed(self, before, record):
        """Name what a trace shows of a step beside its state and controls.

        Args:
            before: The state before the step.
            record: The step's `StepRecord`.

        Returns:
            Dict from names to tensors `(batch, ...)`.
        """
        return {}

    def controller_input_size(self, input_size):
        """Width of what the controller sees for `input_size` features."""
        raise NotImplementedError

    def call(self, inputs, states, training=False, recorded=None, **flags):
        """Take one step at the border with Keras.

        Args:
            inputs: `(batch, features)`.
            states: List of `(batch, size)`, one entry per number in `state_size`; or
                named state, as `step` takes it.
            training: Whether dropout is on; reaches the controller by Keras's own
                call context.
            recorded: As in `step`; only with named state.
            **flags: What a cell's own `step` takes beside; only with named state.

        Returns:
            `(output, states)`: `(batch, output_size)` and the new list; of named state,
            the `StepRecord` that `step` gives.

        Raises:
            ValueError: Inputs or states of the wrong shape.
        """
        check_shape("inputs", inputs.shape, ("batch", self.input_size))
        if isinstance(states, type(self.state_shapes)):
            return self.step(inputs, states, recorded, **flags)
        state = self.step(inputs, self.unflatten(states)).state
        return tree.flatten(state)[0], self.flatten(state)

    @property
    def state_size(self):
        """Features of each rank-2 state, in the order of `flatten`."""
        return [math.prod(shape) for shape in self.flat_state_shapes]

    @property
    def flat_state_shapes(self):
        """Shape of one sample of each state, in the order of `flatten`."""
        shapes = []
        tree.map_shape_structure(shapes.append, self.state_shapes)
        return shapes

    @property
    def state_names(self):
        """Name of each state, in the order of `flatten`: field by field, list by list.

        Such as `"memory"` for `state.access.memory` and `"controller_1"` for
        `state.controller[1]`.
        """
        return leaf_names(self.state_shapes, "")

    def flatten(self, state):
        """Turn named state into the flat list that `keras.layers.RNN` carries."""
        return self._flat(self._from_fresh(tree.flatten(state), operator.sub))

    def _flat(self, leaves):
        return [
            ops.reshape(leaf, (-1, size))
            for leaf, size in zip(leaves, self.state_size, strict=True)
        ]

    def unflatten(self, states):
        """Turn the flat list of `keras.layers.RNN` into named state, real shapes.

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
        shapes = self.flat_state_shapes
        leaves = [
            ops.reshape(tensor, (-1, *shape))
            for tensor, shape in zip(states, shapes, strict=True)
        ]
        leaves = iter(self._from_fresh(leaves, operator.add))
        return tree.map_shape_structure(lambda _: next(leaves), self.state_shapes)

    def _from_fresh(self, leaves, change):
        """Add the fresh state to named leaves, or subtract it from them."""
        fresh = self.fresh_state  # float32, where a layer of half precision gives less
        return [
            change(ops.cast(leaf, fresh[name].dtype), fresh[name])
            if name in fresh
            else leaf
            for name, leaf in zip(self.state_names, leaves, strict=True)
        ]

    def get_initial_state(self, batch_size=None):
        """Give the all-zero state, with the controller's own initial state inside.

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
        return self._flat(tree.flatten(state))

    # The four hooks of DropoutRNNCell. Keras calls them around its loop with the raw
    # input; the controller's masks have to be as wide as the controller's own input.

    def get_dropout_mask(self, step_input):
        """Make the controller's dropout masks, before the loop.

        The one hook that Keras calls on a cell with the layer's own input, so that a
        layer of half precision can be refused here.
        """
        if self.numbers_slots:
            check_not_half_precision(step_input.dtype)
        width = self.controller_input_size(step_input.shape[-1])
        prime_dropout(self.controller, ops.shape(step_input)[0], width)

    def get_recurrent_dropout_mask(self, step_input):
        """Do nothing: `get_dropout_mask` has made both masks."""

    def reset_dropout_mask(self):
        """Drop the controller's dropout masks, after the loop."""
        reset_dropout(self)

    def reset_recurrent_dropout_mask(self):
        """Do nothing: `reset_dropout_mask` has dropped both masks."""

    def get_config(self):
        """Give the constructor's arguments, the policy as it was given."""
        policy = keras.dtype_policies.serialize(self.controller_dtype_policy)
        return {**super().get_config(), "dtype": policy}


def leaf_names(shapes, name):
    """List the names of the leaves of nested NamedTuples and lists of shapes."""
    if hasattr(shapes, "_asdict"):
        fields = shapes._asdict().items()
        return [leaf for key, child in fields for leaf in leaf_names(child, key)]
    if isinstance(shapes, list):
        children = enumerate(shapes)
        return [
            leaf for n, child in children for leaf in leaf_names(child, f"{name}_{n}")
        ]
    return [name]


def named_leaves(state, shapes):
    """Give `state` the structure of `shapes`, each leaf checked.

    A model that was loaded gives nested lists.

    Raises:
        ValueError: A leaf of the wrong shape.
    """
    leaves, names = iter(tree.flatten(state)), iter(leaf_names(shapes, ""))

    def check(shape):
        tensor = next(leaves)
        check_shape(f"state.{next(names)}", tensor.shape, ("batch", *shape))
        return tensor

    return tree.map_shape_structure(check, shapes)
