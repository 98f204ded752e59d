"""RNN cells as pure functions of flat lists of tensors.

The backward pass takes a step again after Keras has left the call of the layer. So
everything that a step depends on is an argument here: weights and other variables,
dropout masks, and whether dropout is on.
"""

import collections
import contextlib
import functools
import inspect
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.backend.keras_internals import MASKS
from keras_dnc.backend.keras_internals import no_autocast
from keras_dnc.bptt.policy import Sequence
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.dropout import get_dropout_masks
from keras_dnc.cells.dropout import set_dropout_masks
from keras_dnc.cells.layers import layers_of
from keras_dnc.typing import Shape, Tensor, Tensors


class _Same:
    """An object that equals itself alone."""

    def __init__(self, it: Any) -> None:
        self._it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._it is other._it

    def __hash__(self) -> int:
        return id(self._it)


def _comparable(setting: Any) -> Hashable:
    """Return a value that differs if a setting of a layer, or a part of it, differs.

    Objects other than numbers, strings, lists, tuples, dicts and arrays of NumPy are
    compared by identity.
    """
    if isinstance(setting, bool | int | float | str):
        return type(setting), setting
    if isinstance(setting, dict):
        setting = [*setting.items()]
    if isinstance(setting, list | tuple):
        return tuple(map(_comparable, setting))
    if isinstance(setting, np.ndarray):
        return setting.shape, setting.dtype, setting.tobytes()
    return _Same(setting)


@functools.cache
def _attributes_of_keras() -> set[str]:
    """Return the names of the attributes of Keras layers that do not affect a step."""
    names = set(vars(keras.layers.Layer())) - {"_dtype_policy"}
    return names | {backend.TRACED_ATTRIBUTE, *MASKS}  # masks are arguments of a step


class PureCell:
    """Any Keras RNN cell as a pure function.

    The state is the previous output followed by the states of the cell, flat.

    Args:
        cell: A built cell.
        states: The first states, in the structure that `keras.layers.RNN` carries.
        training: Whether dropout is on.

    Attributes:
        reads: Counter of how often the last run read each variable, by `id`.
    """

    def __init__(self, cell: keras.Layer, states: Any, training: bool) -> None:
        self.cell = cell
        self.states = states
        self.training = training
        self.reads: collections.Counter[int] = collections.Counter()
        self._masks = get_dropout_masks(cell)
        # Keras passes `training` only to cells that have the argument.
        takes_training = "training" in inspect.signature(cell.call).parameters
        self._flags = {"training": training} if takes_training else {}

    @property
    def drops(self) -> tuple[bool, ...]:
        """Whether each dropout has a mask."""
        return tuple(mask is not None for mask in tree.flatten(self._masks))

    def sequence(self, inputs: Tensor, mask: Tensor | None) -> Sequence:
        """Return the arguments of the recurrence over a sequence.

        Args:
            inputs: `(time, batch, features)`.
            mask: Booleans `(time, batch)`, or `None`.

        Returns:
            A `Sequence`.
        """
        masks = [mask for mask in tree.flatten(self._masks) if mask is not None]
        return self._sequence(
            inputs, masks, [] if mask is None else [ops.cast(mask, "bool")]
        )

    def sequence_of_one(self) -> Sequence:
        """Return the arguments for a symbolic step with a batch of one."""
        masks = [mask for mask in tree.flatten(self._masks) if mask is not None]
        ones = [ops.ones((1, *mask.shape[1:]), mask.dtype) for mask in masks]
        return self._sequence(None, ones, [])

    def _sequence(self, inputs: Any, masks: Tensors, mask: Tensors) -> Sequence:
        """Return a `Sequence` with the present values of the variables."""
        # Seeds are no weights: `tf.saved_model.save` knows no variable of theirs.
        with no_autocast():
            weights = [variable.value for variable in self.cell.trainable_variables]
            others = [variable.value for variable in self.cell.non_trainable_weights]
        return Sequence(weights, inputs, [*others, *masks], mask)

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the state before the first step, the previous output first."""
        stacked = isinstance(self.cell, keras.layers.StackedRNNCells)
        output = tree.flatten(self.states[-1] if stacked else self.states)[0]
        size = cell_output_size(self.cell)
        if output.shape[-1] != size:
            output = ops.zeros((batch_size, size), output.dtype)
        return [output, *tree.flatten(self.states)]

    def rnn_states(self, state: Tensors) -> Any:
        """Return the states in the structure that `keras.layers.RNN` carries."""
        return tree.pack_sequence_as(self.states, state[1:])

    def step(self, sequence: Sequence, inputs: Tensor, state: Tensors) -> Tensors:
        """Take a step.

        Args:
            sequence: `Sequence`.
            inputs: `(batch, features)`.
            state: List of tensors.

        Returns:
            The new state.
        """
        with self.substituted(sequence):
            states = tree.pack_sequence_as(self.states, state[1:])
            output, states = self.cell(inputs, states, **self._flags)
        new = [output, *tree.flatten(states)]
        # Cells of a stack may compute in other dtypes than it carries.
        pairs = zip(new, state, strict=True)
        return [ops.cast(tensor, old.dtype) for tensor, old in pairs]

    @contextlib.contextmanager
    def substituted(self, sequence: Sequence) -> Iterator[None]:
        """Replace the cell's variables and dropout masks by tensors of `sequence`.

        Raises:
            ValueError: If a step updates a variable.
        """
        others = self.cell.non_trainable_weights
        replaced = [*self.cell.trainable_variables, *others]
        values = [*sequence.weights, *sequence.constants[: len(others)]]
        masks = iter(sequence.constants[len(others) :])
        masks_before = get_dropout_masks(self.cell)
        set_dropout_masks(
            self.cell,
            tree.map_structure(
                lambda mask: None if mask is None else next(masks), self._masks
            ),
        )
        with no_autocast():
            scope = _CountingScope(zip(replaced, values, strict=True))
        variables = self.cell.variables  # seeds, too, must not be updated
        before = [scope.get_current_value(variable) for variable in variables]
        scope.reads.clear()
        try:
            with scope:
                yield
        finally:
            set_dropout_masks(self.cell, masks_before)
        self.reads = scope.reads.copy()
        for variable, value in zip(variables, before, strict=True):
            if scope.get_current_value(variable) is not value:
                raise ValueError(
                    "Argument `cell` must not update a variable in its steps, unless "
                    "`recompute=0`: a step that is taken twice would update it twice. "
                    f"Received: cell={self.cell!r}, which updates {variable.path!r}"
                )


class _CountingScope(keras.StatelessScope):
    """Scope that counts how often each variable is read, by `id`."""

    def __init__(self, state_mapping: Any) -> None:
        self.reads: collections.Counter[int] = collections.Counter()
        super().__init__(state_mapping)

    def get_current_value(self, variable: keras.Variable) -> Tensor:
        """Return the value of a variable in this scope."""
        self.reads[id(variable)] += 1
        return super().get_current_value(variable)


class PureMemoryCell(PureCell):
    """A `MemoryCell` as a pure function.

    The state is that of the cell, flat, in real shapes.

    Args:
        cell: A built `MemoryCell`.
        states: The first states, in the structure that `keras.layers.RNN` carries.
        training: Whether dropout is on.
    """

    @functools.cached_property
    def _in_call(self) -> keras.layers.Layer:
        """Layer in whose call a step runs."""
        return _InCall(name="step", dtype=self.cell.dtype_policy, autocast=False)

    @functools.cached_property
    def _key(self) -> Hashable:
        """Everything that the operations of a step depend on, but for shapes."""
        settings = tuple(
            (name, _comparable(value))
            for layer in layers_of(self.cell)
            for name, value in vars(layer).items()
            if name not in _attributes_of_keras()
        )
        variables = tuple(map(_Same, self.cell.trainable_variables))
        defaults = keras.config.floatx(), keras.config.epsilon()
        return self.training, variables, self.drops, settings, defaults

    def first_state(self, batch_size: Tensor) -> Tensors:
        """Return the state before the first step."""
        unflatten = self.traced("unflatten", self._unflattened)
        return unflatten(tree.flatten(self.states))

    def _unflattened(self, states: Tensors) -> Tensors:
        """Return the tensors in real shapes of states that are flat."""
        return tree.flatten(self.cell.unflatten(states))

    def rnn_states(self, state: Tensors) -> Tensors:
        """Return the states in the structure that `keras.layers.RNN` carries."""
        sizes = self.cell.state_size
        return [ops.reshape(t, (-1, n)) for t, n in zip(state, sizes, strict=True)]

    def traced(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of lists of tensors that PyTorch runs as a graph.

        Args:
            name: Name of the function among those of the cell.
            function: Function of lists of tensors that depends on the settings that
                the cell has at the first call of this method, and on no other values.

        Returns:
            A function of the same arguments with the same result.
        """
        if not backend.is_eager():
            return function
        return backend.traced(function, self.cell, (name, self._key))

    def named(self, state: list[Tensor | None]) -> Any:
        """Return the state as the NamedTuple of the cell.

        Args:
            state: List of tensors, of any shapes of the same sizes, and of `None`.

        Returns:
            NamedTuple, each leaf `(batch, *shape)` or `None`.
        """
        leaves = iter(state)

        def shaped(shape: Shape) -> Tensor | None:
            leaf = next(leaves)
            return None if leaf is None else ops.reshape(leaf, (-1, *shape))

        return tree.map_shape_structure(shaped, self.cell.state_shapes)

    def step(self, sequence: Sequence, inputs: Tensor, state: Tensors) -> Tensors:
        """Take a step.

        Args:
            sequence: `Sequence`.
            inputs: `(batch, features)`.
            state: List of tensors.

        Returns:
            The new state.
        """
        named = self.named(state)

        def step(inputs: Tensor) -> Tensors:
            return tree.flatten(self.cell.step(inputs, named).state)

        return self.run(sequence, inputs, step)

    def run(
        self, sequence: Sequence, inputs: Tensor, step: Callable[[Tensor], Any]
    ) -> Any:
        """Run a function of the inputs inside the call of a layer.

        Args:
            sequence: `Sequence`, whose tensors replace the cell's variables and masks.
            inputs: `(batch, features)`.
            step: Function of the inputs.

        Returns:
            The result of `step`.
        """
        with self.substituted(sequence):
            return self._in_call(inputs, step=step, **self._flags)


class _InCall(keras.layers.Layer):
    """Layer that calls a function, for layers in it to get `training` from Keras."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True

    def call(
        self, inputs: Tensor, step: Callable[[Tensor], Any], training: bool = False
    ) -> Any:
        """Return the result of `step`."""
        return step(inputs)
