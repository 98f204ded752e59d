"""One step of writing to and reading from the memory of the Neural Turing Machine.

Graves et al. 2014, sections 3.1 and 3.2.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import natural_number
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.access import Access
from keras_dnc.cells.access import Found
from keras_dnc.ntm.addressing import NTM_GUARDS
from keras_dnc.ntm.addressing import HeadControls
from keras_dnc.ntm.addressing import NTMAddressing
from keras_dnc.ntm.addressing import with_first_guards
from keras_dnc.ops.writing import erase_and_write
from keras_dnc.typing import DType, Fields, Shape, Tensor

_FILLED = 1e-6  # each number of a constant initial memory (Collier and Beel 2018)
INITIAL_MEMORIES = ("constant", "random", "learned")


class NTMAccessState(NamedTuple):
    """State of the memory and its heads.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to 1.
    """

    memory: Tensor  # M_t
    read_weights: Tensor  # w_t of the read heads
    write_weights: Tensor  # w_t of the write heads


class NTMControls(NamedTuple):
    """Controls that the controller emits in one step.

    Attributes:
        write_vectors: `(batch, num_writes, word_size)`, in [-1, 1], added to the slots
            written.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1]: share of each number
            that is erased from the slots written, before the addition.
        write_keys: `(batch, num_writes, word_size)`, in [-1, 1].
        write_strengths: `(batch, num_writes)`, before squashing.
        write_interpolation_gate: `(batch, num_writes)`, in [0, 1]: address by content
            (1) or start from the previous weights (0).
        write_shift_weights: `(batch, num_writes, 2 * shift_range + 1)`, rows sum to 1:
            distribution over shifts from `-shift_range` to `shift_range` slots.
        write_sharpness: `(batch, num_writes)`, before squashing.
        read_keys: `(batch, num_reads, word_size)`, in [-1, 1].
        read_strengths: `(batch, num_reads)`, before squashing.
        read_interpolation_gate: `(batch, num_reads)`, in [0, 1]: address by content (1)
            or start from the previous weights (0).
        read_shift_weights: `(batch, num_reads, 2 * shift_range + 1)`, rows sum to 1:
            distribution over shifts from `-shift_range` to `shift_range` slots.
        read_sharpness: `(batch, num_reads)`, before squashing.
    """

    write_vectors: Tensor  # a_t
    erase_vectors: Tensor  # e_t
    write_keys: Tensor
    write_strengths: Tensor
    write_interpolation_gate: Tensor
    write_shift_weights: Tensor
    write_sharpness: Tensor
    read_keys: Tensor
    read_strengths: Tensor
    read_interpolation_gate: Tensor
    read_shift_weights: Tensor
    read_sharpness: Tensor

    def of(self, verb: str) -> HeadControls:
        """Return the `HeadControls` of the write heads or of the read heads.

        Args:
            verb: `"write"` or `"read"`.
        """
        named = self._asdict()
        return HeadControls(*(named[f"{verb}_{n}"] for n in HeadControls._fields))


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMAccess(Access):
    r"""Write heads and read heads over one memory, each addressed by `NTMAddressing`.

    With weights $w^w_t$ of the write head over $M_{t-1}$ and then $w^r_t$ of the read
    head over $M_t$ (equations 5 to 9):

    $$r_t = M_t^\top w^r_t \tag{2}$$
    $$M_t = M_{t-1} \circ (1 - w^w_t e_t^\top) + w^w_t a_t^\top \tag{3, 4}$$

    Departures:

    - A step writes before it reads, the order of the DNC; the paper leaves it open.
    - Keys and added vectors are squashed by tanh (Collier and Beel 2018).
    - Several write heads erase together, then add together, all addressed over
      $M_{t-1}$. In pytorch-ntm and in Collier and Beel's program they write one after
      another.

    Args:
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 20.
        num_reads: Read heads. Defaults to 1.
        num_writes: Write heads. Defaults to 1.
        shift_range: Slots by which a head may shift its weights in one step, in either
            direction; 0 for none. Defaults to 1.
        initial_memory: Values of a fresh memory: `"constant"` for 1e-6 everywhere,
            `"random"` for values drawn once from a normal distribution of standard
            deviation 0.5, `"learned"` for trained values that start like the random
            ones. Defaults to `"constant"`.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed. Defaults
            to `"softplus"`.
        cosine_guards: Numbers added to squared norms and to their product, which keep
            the cosine finite; see `CosineWeights`. Defaults to `(1e-24, 1e-8)`, so that
            rows of a fresh memory are compared like any other.
        control_biases: Biases of `NTMControls` before training: dict from names of
            controls to numbers; see `Interface`. Defaults to none.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `NTMAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `NTMAccessState`.

    Raises:
        ValueError: If a size is not a positive integer, `shift_range` is not an integer
            of at least 0, `initial_memory` or `strength` is unknown, `cosine_guards`
            are not two positive numbers, `control_biases` do not fit the controls, or a
            call argument has the wrong shape.

    Example:
        >>> import numpy as np
        >>> access = NTMAccess(memory_size=16, word_size=8, num_reads=2)
        >>> inputs = np.ones((4, 32), "float32")
        >>> access.build(inputs.shape)
        >>> read_words, state = access(inputs, access.get_initial_state(batch_size=4))
        >>> tuple(read_words.shape), tuple(state.memory.shape)
        ((4, 2, 8), (4, 16, 8))

    References:
        - Graves et al. 2014, Neural Turing Machines, sections 3.1 to 3.3, eq. 2-9.
        - Collier and Beel 2018, Implementing Neural Turing Machines, ICANN.
    """

    controls_type = NTMControls

    def __init__(
        self,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        shift_range: int = 1,
        initial_memory: str = "constant",
        strength: str = "softplus",
        cosine_guards: Sequence[float] = NTM_GUARDS,
        control_biases: Mapping[str, Any] | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(memory_size, word_size, num_reads, dtype, **kwargs)
        self.num_writes = positive_integer("num_writes", num_writes)
        self.shift_range = natural_number("shift_range", shift_range)
        check_choice("initial_memory", initial_memory, INITIAL_MEMORIES)
        self.initial_memory = initial_memory
        self.strength = strength
        self.addressing = NTMAddressing(
            strength, cosine_guards, dtype=self.dtype_policy
        )
        self.cosine_guards = list(self.addressing.cosine_guards)
        self.create_interface(control_biases)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `NTMControls` to `(shape, activation)`."""
        word, shifts = self.word_size, 2 * self.shift_range + 1
        shapes: dict[str, tuple[Shape, str]] = {
            "write_vectors": ((self.num_writes, word), "tanh"),  # a_t
            "erase_vectors": ((self.num_writes, word), "sigmoid"),  # e_t
        }
        for verb, heads in (("write", self.num_writes), ("read", self.num_reads)):
            shapes[f"{verb}_keys"] = ((heads, word), "tanh")  # k_t
            shapes[f"{verb}_strengths"] = ((heads,), "linear")  # beta_t
            shapes[f"{verb}_interpolation_gate"] = ((heads,), "sigmoid")  # g_t
            if shifts > 1:
                shapes[f"{verb}_shift_weights"] = ((heads, shifts), "softmax")  # s_t
            shapes[f"{verb}_sharpness"] = ((heads,), "linear")  # gamma_t
        return shapes

    @property
    def state_shapes(self) -> NTMAccessState:
        """`NTMAccessState` with the shape of one batch element at each leaf."""
        return NTMAccessState(
            memory=(self.memory_size, self.word_size),
            read_weights=(self.num_reads, self.memory_size),
            write_weights=(self.num_writes, self.memory_size),
        )

    def build(self, inputs_shape: Shape, state_shape: Any = None) -> None:
        """Create the interface, and the initial memory unless it is constant."""
        super().build(inputs_shape, state_shape)
        self.addressing.build((inputs_shape[0], self.memory_size, self.word_size))
        self.fresh_memory = None
        if self.initial_memory != "constant":
            self.fresh_memory = self.add_weight(
                name="fresh_memory",
                shape=self.state_shapes.memory,
                initializer=keras.initializers.RandomNormal(stddev=0.5),
                trainable=self.initial_memory == "learned",
                autocast=False,
            )

    def initial_values(self) -> NTMAccessState:
        """Return the state of one fresh sequence: initial memory, heads on slot 0."""
        check_built(self)
        first = ops.one_hot(0, self.memory_size, dtype=self.compute_dtype)
        if self.fresh_memory is None:
            memory = ops.full(self.state_shapes.memory, _FILLED, self.compute_dtype)
        else:
            memory = ops.convert_to_tensor(self.fresh_memory)
        return NTMAccessState(
            memory=memory[None],
            read_weights=ops.broadcast_to(first, (1, self.num_reads, self.memory_size)),
            write_weights=ops.broadcast_to(
                first, (1, self.num_writes, self.memory_size)
            ),
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a layer; a config of version 0.1 has the guards of deepmind/dnc."""
        return cls(**with_first_guards(config))

    def get_initial_state(self, batch_size: int | Tensor) -> NTMAccessState:
        """Return the `NTMAccessState` of fresh sequences."""
        values = zip(self.initial_values(), self.state_shapes, strict=True)
        return NTMAccessState(
            *(ops.broadcast_to(value, (batch_size, *shape)) for value, shape in values)
        )

    def controls(self, inputs: Tensor) -> NTMControls:
        """Return the `NTMControls`; without shifts, the only shift is 0."""
        controls = super().controls(inputs)
        if self.shift_range:
            return controls
        gates = controls.write_interpolation_gate, controls.read_interpolation_gate
        stay = [ops.expand_dims(ops.ones_like(gate), -1) for gate in gates]
        return controls._replace(
            write_shift_weights=stay[0], read_shift_weights=stay[1]
        )

    def address(
        self, controls: NTMControls, state: NTMAccessState, found: Found
    ) -> Fields:
        """Compute the write weights."""
        weights = self.addressing(
            state.memory, controls.of("write"), state.write_weights
        )
        return {"write_weights": weights}  # w_t^w, eq. 5-9

    def write(
        self, controls: NTMControls, state: NTMAccessState, found: Found
    ) -> Fields:
        """Erase from the slots written, then add to them."""
        memory = erase_and_write(
            state.memory,
            found.write_weights,
            controls.erase_vectors,
            controls.write_vectors,
        )
        return {"memory": memory}  # M_t, eq. 3-4

    def read(
        self, controls: NTMControls, state: NTMAccessState, found: Found
    ) -> Fields:
        """Compute the read weights, and read."""
        weights = self.addressing(found.memory, controls.of("read"), state.read_weights)
        words = ops.matmul(weights, found.memory)  # r_t, eq. 2
        return {"read_weights": weights, "read_words": words}  # w_t^r, eq. 5-9


def check_built(layer: keras.Layer) -> None:
    """Raise a `ValueError` unless a layer has been built.

    Args:
        layer: A layer whose weights hold its initial state.

    Raises:
        ValueError: If the layer has not been built.
    """
    if not layer.built:
        raise ValueError(
            "A layer must be built before it has a fresh state, which it may learn. "
            f"Received: {layer!r} without weights"
        )
