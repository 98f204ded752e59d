"""The contract of a memory: what a paper writes down, and what every paper shares.

A paper describes one step of its memory. `Access` is that step as a Keras layer: the
paper names its state and its controls, and writes each part of the step as a method.
Here the parts are put together.
"""

import collections
import inspect
import types
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

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
from keras_dnc.typing import Controls
from keras_dnc.typing import DType
from keras_dnc.typing import Fields
from keras_dnc.typing import Shape
from keras_dnc.typing import State
from keras_dnc.typing import Tensor

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_CONTROL = "control "  # before the name of a control among residuals

Found = types.SimpleNamespace  # the fields of the parts of a step that have run


class AccessStep(NamedTuple):
    """The result of one step of a memory.

    Attributes:
        read_words: `(batch, num_reads, word_size)`.
        state: The new state, a NamedTuple.
        found: Dict from names to tensors `(batch, ...)` that the step found besides.
    """

    read_words: Tensor
    state: State
    found: Fields


class Access(keras.layers.Layer):
    """Base of the memories from which a controller reads words.

    A subclass has the properties `state_shapes` and `control_shapes`, and the methods
    `address`, `write` and `read`; `free` and `controls` only where it needs them. It
    calls `create_interface` at the end of its constructor.

    The step runs its `parts` in order. Each is a method `(controls, state, found)`:
    the controls and the previous state, NamedTuples, and the fields that the parts
    before it have returned. It returns a dict of fields: new states by their names,
    `read_words`, and whatever later parts need. A state that no part returns stays as
    it was. `write` alone returns the large states, such as memory and links.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Attributes:
        parts: Names of the parts of a step, in order.
        controls_type: NamedTuple of the controls; `None` for one that is made of the
            names in `control_shapes`.
    """

    parts: tuple[str, ...] = ("address", "write", "read")
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
            control_biases: Biases of controls before training; see `Interface`.
            normalize: Whether the interface is layer-normalised. Defaults to `False`.
        """
        shapes = self.control_shapes
        if self.controls_type is None:
            self.controls_type = collections.namedtuple("Controls", shapes)
        self.interface = Interface(
            {name: shapes[name] for name in self._control_names() if name in shapes},
            normalize,
            control_biases,
            dtype=self.dtype_policy,
            name="interface",
        )
        self.control_biases = self.interface.control_biases

    def _control_names(self) -> tuple[str, ...]:
        return self.controls_type._fields

    @property
    def state_shapes(self) -> State:
        """The state, a NamedTuple with the shape of one batch element at each leaf."""
        raise NotImplementedError

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from names of controls to `(shape, activation)`; see `Interface`."""
        raise NotImplementedError

    def get_initial_state(self, batch_size: int | Tensor) -> State:
        """Return a state of zeros: nothing written, nothing read."""
        return tree.map_shape_structure(
            lambda shape: ops.zeros((batch_size, *shape), dtype=self.compute_dtype),
            self.state_shapes,
        )

    def build(self, inputs_shape: Shape, state_shape: Any = None) -> None:
        """Create the weights of the interface."""
        check_shape("inputs", inputs_shape, ("batch", "features"))
        self.interface.build(inputs_shape)

    def call(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Write and read once.

        Args:
            inputs: `(batch, features)`, the controller's output.
            state: The previous state.

        Returns:
            `(read_words, state)`.
        """
        check_shape("inputs", inputs.shape, ("batch", "features"))
        state = named_leaves(state, self.state_shapes)
        result = self.step(self.controls(inputs), state)
        return result.read_words, result.state

    def controls(self, inputs: Tensor) -> Controls:
        """Return the controls as a NamedTuple, `None` for those the options lack."""
        emitted = self.interface(inputs)
        return self.controls_type(*map(emitted.get, self._control_names()))

    def step(self, controls: Controls, state: State) -> AccessStep:
        """Run the parts of a step one after the other.

        Args:
            controls: What `controls` returns.
            state: The previous state, as `state_shapes`.
        """
        found: Fields = {}
        for name in self.parts:
            given = (
                residuals.watched(controls, _CONTROL) if name == "write" else controls
            )
            fields = getattr(self, name)(given, state, Found(**found))
            found |= _kept(fields)
        new = {name: found.pop(name) for name in state._fields if name in found}
        return AccessStep(found.pop("read_words"), state._replace(**new), found)

    def rewrite(self, state: State, kept: Fields) -> Fields:
        """Run `write` again, from the residuals of a step.

        Args:
            state: The state before the step.
            kept: The step's residuals by name: the fields of the parts before `write`,
                and the controls that `write` reads.

        Returns:
            Dict from the name of each large state to its new value.
        """
        read = [kept.get(_CONTROL + name) for name in self._control_names()]
        controls = self.controls_type(*read)
        fields = self.write(controls, state, Found(**kept))
        return dict(zip(*_leaves(fields), strict=True))

    def address(self, controls: Controls, state: State, found: Found) -> Fields:
        """Find where to write."""
        raise NotImplementedError

    def write(self, controls: Controls, state: State, found: Found) -> Fields:
        """Change the large states: the memory, and links where there are any."""
        raise NotImplementedError

    def read(self, controls: Controls, state: State, found: Found) -> Fields:
        """Find where to read, and read."""
        raise NotImplementedError

    def get_options(self) -> dict[str, Any]:
        """Return the arguments that the classes of this layer add to `Layer`'s own."""
        options = {name: getattr(self, name) for name in _arguments(type(self))}
        biases = self.interface.get_config()["control_biases"]
        return {**options, "control_biases": biases}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.get_options()}


def _leaves(fields: Fields) -> tuple[list[str], list[Tensor]]:
    """Return the names and the tensors in fields, some of which may be structures."""
    names = [leaf for name, value in fields.items() for leaf in leaf_names(value, name)]
    return names, [leaf for value in fields.values() for leaf in tree.flatten(value)]


def _kept(fields: Fields) -> Fields:
    """Return the fields of a part, each tensor in them named as a residual."""
    kept = iter(residuals.keep(*_leaves(fields)))
    return {
        name: tree.map_structure(lambda _: next(kept), value)
        for name, value in fields.items()
    }


def _arguments(kind: type) -> list[str]:
    """Return the names of the constructor's arguments of `kind` and its bases."""
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, Access) and "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= dict.fromkeys(p.name for p in parameters if p.kind in _NAMED)
    return [name for name in names if name not in ("self", "dtype", "control_biases")]
