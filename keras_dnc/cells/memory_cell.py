"""Named state inside a cell, a flat list of rank-2 tensors at the interface with Keras.

`keras.layers.RNN` carries a list of `(batch, features)` tensors from step to step.
States of another rank fail under masks, and a state with an axis of the size of the
batch is masked along the wrong axis without an error. A memory cell computes with named
tensors of real shapes instead; `MemoryCell` converts between the two.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.arguments import check_shape
from keras_dnc.backend import not_compiled
from keras_dnc.backend.keras_internals import all_layers
from keras_dnc.cells.dropout import HoldsDropout
from keras_dnc.cells.precision import check_not_half_precision
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.rows import where_active
from keras_dnc.typing import Controls, DType, Fields, Shape, State, Tensor, Tensors


class CellStep(NamedTuple):
    """The result of one step of a memory cell.

    Attributes:
        state: The new state, the cell's NamedTuple; its first field is the output of
            the step, `(batch, output_size)`.
        controls: The controls that the controller emits, a NamedTuple.
        found: Dict from names to tensors `(batch, ...)` that are not part of the state,
            such as the slots that a sparse memory writes.
    """

    state: State
    controls: Controls
    found: Fields


HOW_TO_FLATTEN = (
    "; `cell.flatten(state)` makes such a list of a named state, and the argument "
    "`initial_state` of `MemoryRNN` takes a dict from some of `cell.state_names`"
)


class MemoryCell(keras.layers.Layer, HoldsDropout):
    """Base of the recurrent cells with an external memory.

    A subclass has `controller`, `output_size`, `state_shapes`, `controller_input_size`,
    `build` and `step`. This class implements the other members that `keras.layers.RNN`
    needs: `state_size`, `call`, `get_initial_state`, and the methods for dropout masks.

    Under a mixed or half-precision policy, only the controller computes in half
    precision; the memory and its addressing compute in float32. On PyTorch,
    `torch.compile` and `jit_compile=True` skip the cell, because they would unroll the
    recurrence and compile every step. The cell runs eagerly, except in `MemoryRNN`,
    where one step is compiled.

    Args:
        dtype: Policy of a controller that the cell creates. The cell has the same
            policy, or float32 if this one computes in half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If inputs or states have the wrong shape, or the cell is called
            without states.

    Attributes:
        controller: The recurrent cell that drives the memory.
        controller_dtype_policy: The policy passed as `dtype`.
        input_size: Features of the input, set by `build`.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.NTMCell(3, controller=8, memory_size=16, word_size=4)
        >>> isinstance(cell, MemoryCell)
        True
        >>> dict(zip(cell.state_names, cell.state_size))["memory"]
        64
    """

    input_size: int

    def __init__(self, dtype: DType = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.controller_dtype_policy = keras.dtype_policies.get(dtype)

    @not_compiled
    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Take one step, as `call` does; refuse a call without states."""
        if not args and "states" not in kwargs:
            raise ValueError(
                "Argument `states` must be given: a cell takes one step at a time. To "
                "run it over sequences, wrap it: `keras_dnc.MemoryRNN(cell)`. "
                "Received: inputs and no states"
            )
        return super().__call__(inputs, *args, **kwargs)

    @property
    def state_shapes(self) -> State:
        """The state's NamedTuple with the shape of one batch element at each leaf.

        The first leaf is that of the previous output, `(output_size,)`: Keras's loop on
        JAX uses the first state as the output of a masked step.
        """
        raise NotImplementedError

    def step(self, inputs: Tensor, state: State) -> CellStep:
        """Take one step in named state.

        Args:
            inputs: `(batch, features)`.
            state: The state's NamedTuple, each leaf `(batch, *shape)`.

        Returns:
            A `CellStep`.
        """
        raise NotImplementedError

    def decode(self, state: State) -> State:
        """Replace the all-zero state by the initial values of the cell.

        Keras starts a layer, and resets it, with zeros. If the initial values of a cell
        are not zero, such as learned ones, a subclass overrides this method: it
        recognises the batch elements in the all-zero state, and fills in the values.

        Args:
            state: The state's NamedTuple, each leaf `(batch, *shape)`.

        Returns:
            The state's NamedTuple. By default, `state`.
        """
        return state

    @property
    def numbers_slots(self) -> bool:
        """Whether the state contains indices of slots, which half precision rounds."""
        return False

    def call(
        self, inputs: Tensor, states: Tensors, training: bool = False
    ) -> tuple[Tensor, Tensors]:
        """Take one step at the interface with Keras.

        Args:
            inputs: `(batch, features)`.
            states: List of `(batch, size)`, one entry per number in `state_size`.
            training: Whether dropout is on. Keras's call context passes it on to the
                controller. Defaults to `False`.

        Returns:
            `(output, states)`: `(batch, output_size)` and the new list.

        Raises:
            ValueError: If inputs or states have the wrong shape.
        """
        warn_of_plain_graph(training)
        check_shape("inputs", inputs.shape, ("batch", self.input_size))
        state = self.step(inputs, self.unflatten(states)).state
        return tree.flatten(state)[0], self.flatten(state)

    @property
    def state_size(self) -> list[int]:
        """Features of each rank-2 state, in the order of `flatten`."""
        return [math.prod(shape) for shape in self.flat_state_shapes]

    @property
    def flat_state_shapes(self) -> list[tuple[int, ...]]:
        """Shape of one batch element of each state, in the order of `flatten`."""
        shapes: list[tuple[int, ...]] = []
        tree.map_shape_structure(shapes.append, self.state_shapes)
        return shapes

    @property
    def state_names(self) -> list[str]:
        """Name of each state, in the order of `flatten`.

        For example, `"memory"` for `state.access.memory`, and `"controller_1"` for
        `state.controller[1]`.
        """
        return leaf_names(self.state_shapes, "")

    def flatten(self, state: State) -> Tensors:
        """Convert named state to the flat list that `keras.layers.RNN` carries.

        Args:
            state: The state's NamedTuple, each leaf `(batch, *shape)`.

        Returns:
            List of `(batch, size)`, one entry per number in `state_size`.
        """
        return [
            ops.reshape(leaf, (-1, size))
            for leaf, size in zip(tree.flatten(state), self.state_size, strict=True)
        ]

    def unflatten(self, states: Tensors) -> State:
        """Convert the flat list that `keras.layers.RNN` carries to named state.

        Batch elements of the all-zero state get their initial values; see `decode`.

        Args:
            states: List of `(batch, size)`, one entry per number in `state_size`.

        Returns:
            The state's NamedTuple, each leaf `(batch, *shape)`.

        Raises:
            ValueError: If the number of states or the shape of a state is wrong.
        """
        states = tree.flatten(states)
        if len(states) != len(self.state_size):
            raise ValueError(
                f"Argument `states` must be a list of {len(self.state_size)} tensors"
                f"{HOW_TO_FLATTEN}. Received: {len(states)} tensors"
            )
        for index, (tensor, size) in enumerate(
            zip(states, self.state_size, strict=True)
        ):
            check_shape(
                f"states[{index}]", tensor.shape, ("batch", size), HOW_TO_FLATTEN
            )
        leaves = iter(states)
        return self.decode(
            tree.map_shape_structure(
                lambda shape: ops.reshape(next(leaves), (-1, *shape)), self.state_shapes
            )
        )

    @not_compiled
    def get_initial_state(self, batch_size: int | Tensor | None = None) -> Tensors:
        """Return the state before the first step: zeros, and the controller's own.

        Args:
            batch_size: Sequences in the batch, an integer or a scalar tensor; Keras
                always passes one.

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

    def initial_state(self, batch_size: int | Tensor) -> State:
        """Return the named state before the first step.

        Args:
            batch_size: Sequences in the batch, an integer or a scalar tensor.

        Returns:
            The state's NamedTuple, each leaf `(batch, *shape)`.
        """
        return self.unflatten(self.get_initial_state(batch_size))

    def start_from(self, states: Mapping[str, Tensor]) -> Tensors:
        """Return the flat list of first states, some of which are given by name.

        The others are those of a sequence that has not started.

        Args:
            states: Dict from names of `state_names` to tensors, at least one: each
                `(batch, *shape)`, the shape that the state has in `unflatten`, or
                `(batch, size)`.

        Returns:
            List of `(batch, size)`, one entry per number in `state_size`.

        Raises:
            ValueError: If `states` is no dict or is empty, a name is not that of a
                state, or a state has the wrong shape.

        Example:
            >>> import keras_dnc
            >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
            >>> states = cell.start_from({"memory": ops.ones((2, 16, 4))})
            >>> float(cell.unflatten(states).access.memory[0, 0, 0])
            1.0
        """
        shapes = dict(zip(self.state_names, self.flat_state_shapes, strict=True))
        _check_named_states(states, shapes)
        batch_size = ops.shape(next(iter(states.values())))[0]
        fresh = tree.flatten(self.initial_state(batch_size))
        return [
            ops.reshape(ops.cast(states.get(name, leaf), leaf.dtype), (-1, size))
            for name, leaf, size in zip(shapes, fresh, self.state_size, strict=True)
        ]

    def reset(self, state: State | Tensors, where: Tensor) -> State | Tensors:
        """Return a state in which some batch elements are at their start again.

        Use it between steps where some sequences have ended, such as the episodes of
        environments that run side by side.

        Args:
            state: The state's NamedTuple, or its flat list.
            where: Booleans `(batch,)`, true for the batch elements to reset.

        Returns:
            The new state, a NamedTuple or a flat list as `state` is.

        Raises:
            ValueError: If `where` or a state has the wrong shape.

        Example:
            >>> import keras_dnc
            >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
            >>> state = [ops.ones((2, size)) for size in cell.state_size]
            >>> state = cell.reset(state, where=[True, False])
            >>> [float(x) for x in cell.unflatten(state).access.memory[:, 0, 0]]
            [0.0, 1.0]
        """
        where = ops.convert_to_tensor(where, "bool")
        is_named = hasattr(state, "_asdict")
        named = state if is_named else self.unflatten(state)
        batch = tree.flatten(named)[0].shape[0]
        check_shape("where", where.shape, ("batch" if batch is None else batch,))
        fresh = self.initial_state(ops.shape(where)[0])
        named = tree.map_structure(
            lambda start, now: where_active(where, start, now), fresh, named
        )
        return named if is_named else self.flatten(named)

    def get_dropout_mask(self, step_input: Tensor) -> None:
        """Create the controller's dropout masks, before the loop.

        Of the methods that Keras calls on a cell, only this one gets the input of the
        layer. A layer that computes in half precision is therefore refused here.

        Args:
            step_input: `(batch, features)`, an input of the cell.

        Raises:
            ValueError: If the layer would round indices of slots in the state.
        """
        if self.numbers_slots:
            check_not_half_precision(step_input.dtype)
        super().get_dropout_mask(step_input)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the input shape, and the layers inside that are quantized.

        `keras.Model.quantize` changes the dtype policies of these layers, which
        constructors do not take.
        """
        modes = {
            str(number): layer.quantization_mode
            for number, layer in enumerate(all_layers(self))
            if layer.quantization_mode
        }
        config = super().get_build_config()
        return {**config, "quantized": modes} if config and modes else config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the cell, and quantize the layers that were quantized.

        Args:
            config: Dict that `get_build_config` returned.
        """
        super().build_from_config(config)
        layers = all_layers(self)
        for number, mode in config.get("quantized", {}).items():
            layers[int(number)].quantize(mode)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the policy passed as `dtype`."""
        policy = keras.dtype_policies.serialize(self.controller_dtype_policy)
        return {**super().get_config(), "dtype": policy}


def warn_of_plain_graph(training: Any) -> None:
    """Warn if a cell is trained in a TensorFlow graph that XLA does not compile.

    The text is always the same, so that Python shows it once.

    Args:
        training: Whether the cell is called for training.
    """
    if training is True and backend.is_plain_graph():
        warnings.warn(
            "A recurrent network is trained on TensorFlow without XLA, which is "
            "several times slower. Compile the model with `jit_compile=True`: Keras's "
            "default, 'auto', leaves XLA off on CPUs.",
            stacklevel=2,
        )


def _check_named_states(states: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a `ValueError` unless some states are given, by name and in shape."""
    names = set(states) if isinstance(states, Mapping) else set()
    if not names or names - set(shapes):
        raise ValueError(
            "Argument `states` must be a dict from names of states to tensors. Names: "
            f"{list(shapes)}. Received: "
            + (f"the names {sorted(names)}" if names else f"states={states!r}")
        )
    for name, tensor in states.items():
        flat = (math.prod(shapes[name]),)
        shape = flat if len(tensor.shape) == 2 else shapes[name]
        check_shape(f"states[{name!r}]", tensor.shape, ("batch", *shape))


def leaf_names(shapes: Any, name: str) -> list[str]:
    """Return the names of the leaves of nested NamedTuples and lists.

    Args:
        shapes: NamedTuples and lists of shapes.
        name: Name of `shapes` itself, from which the names in a list are made.

    Returns:
        List of names, in the order of `keras.tree.flatten`.

    Example:
        >>> leaf_names([(3,), (3,)], "controller")
        ['controller_0', 'controller_1']
    """
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
    """Restore the NamedTuples of a state, and check the shape of each leaf.

    A model that has been loaded passes nested lists in place of NamedTuples.

    Args:
        state: Nested NamedTuples or lists of tensors.
        shapes: NamedTuple with the shape of one batch element at each leaf.

    Returns:
        NamedTuple with the structure of `shapes`.

    Raises:
        ValueError: If a leaf has the wrong shape.
    """
    leaves, names = iter(tree.flatten(state)), iter(leaf_names(shapes, ""))

    def check(shape: Shape) -> Tensor:
        tensor = next(leaves)
        check_shape(f"state.{next(names)}", tensor.shape, ("batch", *shape))
        return tensor

    return tree.map_shape_structure(check, shapes)
