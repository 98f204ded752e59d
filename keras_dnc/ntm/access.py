"""One step of writing to and reading from the memory of the Neural Turing Machine.

Graves et al. 2014, sections 3.1 and 3.2.
"""

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import natural_number
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.access import Access
from keras_dnc.cells.access import Found
from keras_dnc.ntm.addressing import HeadControls
from keras_dnc.ntm.addressing import NTMAddressing
from keras_dnc.ops.writing import erase_and_write
from keras_dnc.typing import DType
from keras_dnc.typing import Fields
from keras_dnc.typing import Shape
from keras_dnc.typing import Tensor

_FILLED = 1e-6  # in every number of a constant initial memory (Collier and Beel 2018)
INITIAL_MEMORIES = ("constant", "random", "learned")


class NTMAccessState(NamedTuple):
    """The memory, and where the heads are.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to 1.
    """

    memory: Tensor
    read_weights: Tensor
    write_weights: Tensor


class NTMControls(NamedTuple):
    """What the controller asks of the memory in one step.

    Attributes:
        write_vectors: `(batch, num_writes, word_size)`, in [-1, 1], what to add.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1], what to wipe first.
        write_keys: `(batch, num_writes, word_size)`, in [-1, 1]; this and what follows
            as in `HeadControls`.
        write_strengths: `(batch, num_writes)`.
        write_interpolation_gate: `(batch, num_writes)`.
        write_shift_weights: `(batch, num_writes, 2 * shift_range + 1)`.
        write_sharpness: `(batch, num_writes)`.
        read_keys: `(batch, num_reads, word_size)`, in [-1, 1].
        read_strengths: `(batch, num_reads)`.
        read_interpolation_gate: `(batch, num_reads)`.
        read_shift_weights: `(batch, num_reads, 2 * shift_range + 1)`.
        read_sharpness: `(batch, num_reads)`.
    """

    write_vectors: Tensor
    erase_vectors: Tensor
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
        """Return the `HeadControls` of the heads that `"write"` or `"read"`."""
        named = self._asdict()
        return HeadControls(*(named[f"{verb}_{n}"] for n in HeadControls._fields))


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMAccess(Access):
    r"""Write heads and read heads over one memory, each where its addressing says.

    $$w^{w} = \mathrm{NTMAddressing}(M_{t-1}, \dots), \quad
    M_t = M_{t-1} \circ (1 - w^w e^\top) + w^w a^\top$$
    $$w^{r} = \mathrm{NTMAddressing}(M_t, \dots), \quad r = M_t^\top w^{r}$$

    Departures: the paper leaves open whether a step writes or reads first; here it
    writes, as the DNC does. Keys and what is added are squashed by tanh, as in Collier
    and Beel 2018.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        num_writes: Write heads.
        shift_range: Slots that a head may go on in one step, in either direction; 0
            for none.
        initial_memory: What a fresh memory holds: `"constant"` for 1e-6 everywhere,
            `"random"` for numbers drawn once, normal with a deviation of 0.5,
            `"learned"` for trained ones.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        control_biases: Where `NTMControls` start before training: dict from their names
            to numbers, as in `Interface`.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `NTMAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `NTMAccessState`.

    Raises:
        ValueError: A size that is no positive integer, `shift_range` is no integer of
            at least 0, an unknown `initial_memory` or `strength`, `control_biases` that
            fit no control, or a call argument of the wrong shape.

    Example:
        >>> import numpy as np
        >>> access = NTMAccess(memory_size=16, word_size=8, num_reads=2)
        >>> inputs = np.ones((4, 32), "float32")
        >>> access.build(inputs.shape)
        >>> read_words, state = access(inputs, access.get_initial_state(batch_size=4))
        >>> tuple(read_words.shape), tuple(state.memory.shape)
        ((4, 2, 8), (4, 16, 8))

    References:
        - Graves et al. 2014, Neural Turing Machines, sections 3.1 to 3.3.
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
        self.addressing = NTMAddressing(strength, dtype=self.dtype_policy)
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
        """`NTMAccessState` with the shape of one sample at each leaf."""
        return NTMAccessState(
            memory=(self.memory_size, self.word_size),
            read_weights=(self.num_reads, self.memory_size),
            write_weights=(self.num_writes, self.memory_size),
        )

    def build(self, inputs_shape: Shape, state_shape: Any = None) -> None:
        """Create the interface, and an initial memory that is not constant."""
        super().build(inputs_shape, state_shape)
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
        """Return the start of one sequence: all heads on slot 0, the initial memory."""
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

    def get_initial_state(self, batch_size: int | Tensor) -> NTMAccessState:
        """Return the `NTMAccessState` at the start of sequences."""
        values = zip(self.initial_values(), self.state_shapes, strict=True)
        return NTMAccessState(
            *(ops.broadcast_to(value, (batch_size, *shape)) for value, shape in values)
        )

    def controls(self, inputs: Tensor) -> NTMControls:
        """Return the `NTMControls`; without shifts, all heads stay."""
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
        """Move the write heads."""
        weights = self.addressing(
            state.memory, controls.of("write"), state.write_weights
        )
        return {"write_weights": weights}  # w_t, eq. 5-9

    def write(
        self, controls: NTMControls, state: NTMAccessState, found: Found
    ) -> Fields:
        """Erase and add."""
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
        """Move the read heads, and read."""
        weights = self.addressing(found.memory, controls.of("read"), state.read_weights)
        words = ops.matmul(weights, found.memory)  # r_t, eq. 2
        return {"read_weights": weights, "read_words": words}


def check_built(layer: keras.Layer) -> None:
    """Raise a `ValueError` unless the weights of the initial state exist."""
    if not layer.built:
        raise ValueError(
            "A layer must be built before it has a fresh state, which it may learn. "
            f"Received: {layer!r} without weights"
        )
