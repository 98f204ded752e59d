"""The base of every memory, and the contract of a dense memory.

A paper describes one step of its memory. `Access` is that step as a Keras layer: a
subclass names its state and its controls, and implements each part of the step as a
method; `Access` composes the parts. `BaseAccess` has what dense and sparse memories
share; the contract of a sparse memory is `row_access.RowAccess`.
"""

import collections
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.interface import Interface
from keras_dnc.cells.memory_cell import leaf_names
from keras_dnc.cells.memory_cell import named_leaves
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops import residuals
from keras_dnc.typing import Controls, DType, Fields, Shape, State, Tensor

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_CONTROL = "control "  # prefix of the name of a control among residuals

Found = types.SimpleNamespace  # fields that the previous parts of a step have returned


class AccessStep(NamedTuple):
    """The result of one step of a memory.

    Attributes:
        read_words: `(batch, num_reads, word_size)`.
        state: The new state, a NamedTuple.
        found: Dict from names to the other fields of the step, tensors `(batch, ...)`.
    """

    read_words: Tensor
    state: State
    found: Fields


class BaseAccess(keras.layers.Layer):
    """Base of the memories that a controller writes to and reads from.

    A subclass has the properties `state_shapes` and `control_shapes` and the method
    `step`. It calls `create_interface` at the end of its constructor.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the output of the controller.
        state: The previous state, a NamedTuple with the fields of `state_shapes`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new state.

    Raises:
        ValueError: If a size is not a positive integer, or if a call argument has the
            wrong shape.

    Attributes:
        controls_type: NamedTuple class of the controls; `None` for a class made of the
            names in `control_shapes`.
        interface: The `Interface` that turns the controller's output into controls.
        control_biases: Biases of the controls before training.
    """

    controls_type: Any = None

    def __init__(
        self,
        memory_size: int,
        word_size: int,
        num_reads: int,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.memory_size = positive_integer("memory_size", memory_size)
        self.word_size = positive_integer("word_size", word_size)
        self.num_reads = positive_integer("num_reads", num_reads)

    def create_interface(
        self, control_biases: Mapping[str, Any] | None = None, normalize: bool = False
    ) -> None:
        """Create the layer that turns the controller's output into controls.

        Args:
            control_biases: Dict from names of controls to their biases before training,
                numbers or lists of numbers; see `Interface`. Defaults to `None`, no
                biases.
            normalize: Whether the interface is layer-normalised. Defaults to `False`.
        """
        shapes = self.control_shapes
        if self.controls_type is None:
            self.controls_type = _named_tuple("Controls", shapes)
        self.interface = Interface(
            {name: shapes[name] for name in self._control_names() if name in shapes},
            normalize,
            control_biases,
            dtype=self.dtype_policy,
            name="interface",
        )
        self.control_biases = self.interface.control_biases

    def _control_names(self) -> tuple[str, ...]:
        """Return the fields of `controls_type`."""
        return self.controls_type._fields

    @property
    def state_shapes(self) -> State:
        """The state's NamedTuple with the shape of one batch element at each leaf."""
        raise NotImplementedError

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from names of controls to `(shape, activation)`, as for `Interface`."""
        raise NotImplementedError

    def get_initial_state(self, batch_size: int | Tensor) -> State:
        """Return the state before the first step, zeros: nothing is written or read.

        Args:
            batch_size: Sequences in the batch, an integer or a scalar tensor.

        Returns:
            The state's NamedTuple, each leaf `(batch, *shape)`.
        """
        return tree.map_shape_structure(
            lambda shape: ops.zeros((batch_size, *shape), dtype=self.compute_dtype),
            self.state_shapes,
        )

    def decode(self, state: State) -> State:
        """Prepare a state that comes from outside for a step.

        A cell calls this method on each state that Keras passes to it.

        Args:
            state: The state's NamedTuple, each leaf `(batch, *shape)`.

        Returns:
            The state's NamedTuple. By default, `state`.
        """
        return state

    def build(self, inputs_shape: Shape, state_shape: Any = None) -> None:
        """Create the weights of the interface.

        Args:
            inputs_shape: `(batch, features)`.
            state_shape: Shapes of the state, which are not used. Defaults to `None`.
        """
        check_shape("inputs", inputs_shape, ("batch", "features"))
        self.interface.build(inputs_shape)

    def call(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step."""
        check_shape("inputs", inputs.shape, ("batch", "features"))
        state = named_leaves(state, self.state_shapes)
        result = self.step(self.controls(inputs), state)
        return result.read_words, result.state

    def controls(self, inputs: Tensor) -> Controls:
        """Compute the controls of one step.

        Args:
            inputs: `(batch, features)`, the output of the controller.

        Returns:
            NamedTuple of tensors, `None` for controls that the options exclude.
        """
        emitted = self.interface(inputs)
        return self.controls_type(*map(emitted.get, self._control_names()))

    def step(self, controls: Controls, state: State) -> AccessStep:
        """Take one step with given controls.

        Args:
            controls: The controls, from the method `controls`.
            state: The previous state, a NamedTuple with the fields of `state_shapes`.

        Returns:
            An `AccessStep`.
        """
        raise NotImplementedError

    def get_options(self) -> dict[str, Any]:
        """Return the constructor's arguments without those of `keras.layers.Layer`.

        Returns:
            Dict from the names of the arguments of this class and of its bases up to
            `BaseAccess` to their values.
        """
        names = _arguments(type(self))
        options = {name: getattr(self, name) for name in names}
        if "control_biases" in names:
            options["control_biases"] = self.interface.get_config()["control_biases"]
        return options

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.get_options()}


class Access(BaseAccess):
    """Base of the dense memories: a step may change every slot.

    A subclass has the properties `state_shapes` and `control_shapes`, and a method for
    each name in `parts`. It calls `create_interface` at the end of its constructor.

    A step runs its parts in order. Each is a method of `controls` and `state`, the
    controls and the previous state, and of `found`, the fields that the previous parts
    have returned. It returns a dict of fields: new states by name, `read_words`, and
    fields that later parts need. A state that no part returns does not change. Only
    `write` returns large states, such as memory and links: back-propagation saves the
    fields of the other parts, and runs `write` again.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the output of the controller.
        state: The previous state, a NamedTuple with the fields of `state_shapes`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new state.

    Raises:
        ValueError: If a size is not a positive integer, or if a call argument has the
            wrong shape.

    Attributes:
        parts: Names of the parts of a step, in order.

    Example:
        A memory that adds a word to a slot and then reads that slot.

        >>> class SlotState(NamedTuple):
        ...     memory: Tensor
        >>> class SlotAccess(Access):
        ...     def __init__(self, memory_size, word_size, num_reads=1, **kwargs):
        ...         super().__init__(memory_size, word_size, num_reads, **kwargs)
        ...         self.create_interface()
        ...     @property
        ...     def state_shapes(self):
        ...         return SlotState(memory=(self.memory_size, self.word_size))
        ...     @property
        ...     def control_shapes(self):
        ...         return {
        ...             "slot": ((1, self.memory_size), "softmax"),
        ...             "word": ((1, self.word_size), "tanh"),
        ...         }
        ...     def address(self, controls, state, found):
        ...         return {"weights": controls.slot}
        ...     def write(self, controls, state, found):
        ...         added = found.weights[:, 0, :, None] * controls.word
        ...         return {"memory": state.memory + added}
        ...     def read(self, controls, state, found):
        ...         return {"read_words": ops.matmul(found.weights, found.memory)}
        >>> access = SlotAccess(memory_size=5, word_size=4)
        >>> state = access.get_initial_state(batch_size=2)
        >>> read_words, state = access(ops.ones((2, 3)), state)
        >>> tuple(read_words.shape), tuple(state.memory.shape)
        ((2, 1, 4), (2, 5, 4))
    """

    parts: tuple[str, ...] = ("address", "write", "read")

    def step(self, controls: Controls, state: State) -> AccessStep:
        """Run the parts of a step in order.

        Args:
            controls: The controls, from the method `controls`.
            state: The previous state, a NamedTuple with the fields of `state_shapes`.

        Returns:
            An `AccessStep`.
        """
        found: Fields = {}
        for name in self.parts:
            given = controls
            if name == "write":
                given = residuals.kept_when_read(controls, _CONTROL)
            fields = getattr(self, name)(given, state, Found(**found))
            if name == "write" and not set(fields) <= set(state._fields):
                raise ValueError(
                    f"Part `write` of {type(self).__name__} must return states alone, "
                    f"of {list(state._fields)}. Received: {list(fields)}"
                )
            found |= _kept(fields)
        self._check_read_words(found.get("read_words"))
        new = {name: found.pop(name) for name in state._fields if name in found}
        return AccessStep(found.pop("read_words"), state._replace(**new), found)

    def _check_read_words(self, words: Tensor | None) -> None:
        """Raise a `ValueError` unless there are read words of the right shape."""
        shape = None if words is None else tuple(words.shape)
        if shape is None or shape[1:] != (self.num_reads, self.word_size):
            raise ValueError(
                f"The parts of {type(self).__name__} must return `read_words` of shape "
                f"(batch, {self.num_reads}, {self.word_size}). Received: {shape}"
            )

    def rewrite(self, state: State, kept: Fields) -> Fields:
        """Run `write` again, from the residuals of a step.

        Args:
            state: The state before the step.
            kept: Dict of the residuals of the step: the fields of the parts before
                `write`, and the controls that `write` reads.

        Returns:
            Dict from the names of the large states to their new values.
        """
        read = [kept.get(_CONTROL + name) for name in self._control_names()]
        controls = self.controls_type(*read)
        fields = self.write(controls, state, Found(**kept))
        return dict(zip(*_leaves(fields), strict=True))

    def address(self, controls: Controls, state: State, found: Found) -> Fields:
        """Compute the write weights.

        Args:
            controls: NamedTuple of the controls.
            state: NamedTuple of the previous state.
            found: Fields of the previous parts, as attributes.

        Returns:
            Dict of fields, such as `write_weights`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no part `address`")

    def write(self, controls: Controls, state: State, found: Found) -> Fields:
        """Compute the large states: the memory, and links if there are any.

        Args:
            controls: NamedTuple of the controls.
            state: NamedTuple of the previous state.
            found: Fields of the previous parts, as attributes.

        Returns:
            Dict from the names of the large states to their new values.
        """
        raise NotImplementedError(f"{type(self).__name__} has no part `write`")

    def read(self, controls: Controls, state: State, found: Found) -> Fields:
        """Compute the read weights, and read.

        Args:
            controls: NamedTuple of the controls.
            state: NamedTuple of the previous state.
            found: Fields of the previous parts, as attributes.

        Returns:
            Dict of fields: `read_words`, and new states by name.
        """
        raise NotImplementedError(f"{type(self).__name__} has no part `read`")


def _named_tuple(name: str, fields: Iterable[str]) -> type[tuple[Any, ...]]:
    """Return a new NamedTuple class without types."""
    return collections.namedtuple(name, fields)


def _leaves(fields: Fields) -> tuple[list[str], list[Tensor]]:
    """Return the names and the tensors in fields, which may be nested structures."""
    names = [leaf for name, value in fields.items() for leaf in leaf_names(value, name)]
    return names, [leaf for value in fields.values() for leaf in tree.flatten(value)]


def _kept(fields: Fields) -> Fields:
    """Name each tensor in the fields as a residual; return the fields or those kept."""
    kept = iter(residuals.keep(*_leaves(fields)))
    return {
        name: tree.map_structure(lambda _: next(kept), value)
        for name, value in fields.items()
    }


def _arguments(kind: type) -> list[str]:
    """Return the names of the constructor's arguments of a class and of its bases."""
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, BaseAccess) and "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= dict.fromkeys(p.name for p in parameters if p.kind in _NAMED)
    return [name for name in names if name not in ("self", "dtype")]
