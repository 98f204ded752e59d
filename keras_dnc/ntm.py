"""The Neural Turing Machine as a Keras RNN cell (Graves et al. 2014).

The first network that learned to address a memory: its heads look for content, and
step from slot to slot. Reading order: `NTMAddressing` (where a head looks), `NTMAccess`
(one step of writing and reading), `NTMCell` (a controller beside it).
"""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_dnc.core.arguments import check_choice
from keras_dnc.core.arguments import check_shape
from keras_dnc.core.arguments import natural_number
from keras_dnc.core.arguments import positive_integer
from keras_dnc.core.cell import AccessCell
from keras_dnc.core.content import CosineWeights
from keras_dnc.core.content import oneplus
from keras_dnc.core.interface import Interface
from keras_dnc.core.precision import full_precision
from keras_dnc.core.state import named_leaves
from keras_dnc.core.state import recall
from keras_dnc.core.writing import erase_and_write

_EPSILON = 1e-12  # keeps the logarithm of a weight, and its gradient, finite at 0
_FILLED = 1e-6  # in every number of a constant initial memory (Collier and Beel 2018)
INITIAL_MEMORIES = ("constant", "random", "learned")


class HeadControls(NamedTuple):
    """Where the controller asks a number of heads to look.

    Attributes:
        keys: `(batch, heads, word_size)`.
        strengths: `(batch, heads)`, before squashing.
        interpolation_gate: `(batch, heads)`, in [0, 1]: look for the key (1) or start
            from where the head was (0).
        shift_weights: `(batch, heads, 2 * shift_range + 1)`, rows sum to 1: how far to
            go on, from `-shift_range` to `shift_range` slots; `None` for nowhere.
        sharpness: `(batch, heads)`, before squashing.
    """

    keys: Any
    strengths: Any
    interpolation_gate: Any
    shift_weights: Any
    sharpness: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMAddressing(keras.layers.Layer):
    r"""Find content or stay, go on by a few slots, sharpen.

    $$w^c = \mathrm{softmax}(\sigma(\beta) \cos(k, M))$$
    $$w^g = g w^c + (1 - g) w_{t-1}$$
    $$w^s_i = \sum_j s_j w^g_{(i - j) \bmod N}$$
    $$w_i = (w^s_i)^\gamma / \sum_j (w^s_j)^\gamma, \quad \gamma = 1 +
    \mathrm{softplus}(\hat\gamma)$$

    Departures: the paper says of the strength that it is positive, of the sharpness
    that it is at least 1; softplus and oneplus make them so. Powers are taken of
    $w^s + 10^{-12}$, by way of logarithms: no gradient of $0^\gamma$ is NaN, and a
    large $\gamma$ leaves no sum of zeros.

    Args:
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        memory: `(batch, memory_size, word_size)`.
        controls: `HeadControls`, or what one is made of in the same order.
        previous_weights: `(batch, heads, memory_size)`, rows sum to 1.

    Returns:
        Weights, `(batch, heads, memory_size)`, rows sum to 1.

    Raises:
        ValueError: An unknown `strength`, an even number of shifts, or a call argument
            of the wrong shape.

    Example:
        >>> import numpy as np
        >>> controls = HeadControls(
        ...     keys=np.zeros((1, 1, 4)),
        ...     strengths=np.zeros((1, 1)),
        ...     interpolation_gate=np.zeros((1, 1)),  # from where it was,
        ...     shift_weights=np.array([[[0.0, 0.0, 1.0]]]),  # one slot further
        ...     sharpness=np.zeros((1, 1)),
        ... )
        >>> before = np.array([[[0.0, 1.0, 0.0]]])
        >>> weights = NTMAddressing()(np.zeros((1, 3, 4)), controls, before)
        >>> [round(float(w), 3) for w in weights[0, 0]]
        [0.0, 0.0, 1.0]

    References:
        - Graves et al. 2014, Neural Turing Machines, section 3.3, eq. 5-9.
    """

    def __init__(
        self, strength: str = "softplus", dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.strength = strength
        self.content = CosineWeights(strength, dtype=self.dtype_policy)

    def build(self, memory_shape, controls_shape=None, previous_weights_shape=None):
        """Create nothing: there are no weights."""
        self.content.built = True

    def call(self, memory, controls, previous_weights):
        """Address by content, interpolate, shift, sharpen."""
        controls = HeadControls(*controls)
        self._check(memory, controls, previous_weights)
        content = self.content(memory, controls.keys, controls.strengths)  # eq. 5
        gate = ops.expand_dims(controls.interpolation_gate, -1)
        weights = gate * content + (1.0 - gate) * previous_weights  # eq. 7
        if controls.shift_weights is not None:
            weights = shifted(weights, controls.shift_weights)  # eq. 8
        return sharpened(weights, oneplus(controls.sharpness))  # eq. 9

    @staticmethod
    def _check(memory, controls, previous_weights):
        """Raise a `ValueError` unless shapes fit; `content` sees to `strengths`."""
        check_shape("memory", memory.shape, ("batch", "memory_size", "word_size"))
        keys = ("batch", "heads", memory.shape[2])
        check_shape("keys", controls.keys.shape, keys)
        heads = ("batch", controls.keys.shape[1])
        for name in ("interpolation_gate", "sharpness"):
            check_shape(name, getattr(controls, name).shape, heads)
        expected = (*heads, memory.shape[1])
        check_shape("previous_weights", previous_weights.shape, expected)
        if controls.shift_weights is None:
            return
        shape = tuple(controls.shift_weights.shape)
        check_shape("shift_weights", shape, (*heads, "2 * shift_range + 1"))
        if shape[-1] % 2 == 0:
            raise ValueError(
                "Argument `shift_weights` must have 2 * shift_range + 1 numbers for "
                f"each head. Received: shift_weights of shape {shape}"
            )

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "strength": self.strength}


def shifted(weights, shift_weights):
    """Mix weights moved on by each number of slots, the last slot before the first.

    Args:
        weights: `(batch, heads, memory_size)`.
        shift_weights: `(batch, heads, 2 * shift_range + 1)`.

    Returns:
        `(batch, heads, memory_size)`.
    """
    shift_range = shift_weights.shape[-1] // 2
    return sum(
        shift_weights[:, :, shift_range + offset, None]
        * ops.roll(weights, offset, axis=-1)
        for offset in range(-shift_range, shift_range + 1)
    )


def sharpened(weights, sharpness):
    """Raise weights to a power, and bring each row back to a sum of 1.

    Args:
        weights: `(batch, heads, memory_size)`, at least 0.
        sharpness: `(batch, heads)`, at least 1.

    Returns:
        `(batch, heads, memory_size)`, rows sum to 1.
    """
    logarithms = ops.log(weights + _EPSILON)
    return ops.softmax(ops.expand_dims(sharpness, -1) * logarithms, axis=-1)


class NTMAccessState(NamedTuple):
    """The memory, and where the heads are.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to 1.
    """

    memory: Any
    read_weights: Any
    write_weights: Any


class NTMControls(NamedTuple):
    """What the controller asks of the memory in one step.

    Attributes:
        write_vectors: `(batch, num_writes, word_size)`, in [-1, 1], what to add.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1], what to wipe first.
        write_keys: `(batch, num_writes, word_size)`, in [-1, 1]; this and what follows
            as in `HeadControls`.
        write_strengths: `(batch, num_writes)`.
        write_interpolation_gate: `(batch, num_writes)`.
        write_shift_weights: `(batch, num_writes, 2 * shift_range + 1)`; `None` with a
            `shift_range` of 0.
        write_sharpness: `(batch, num_writes)`.
        read_keys: `(batch, num_reads, word_size)`, in [-1, 1].
        read_strengths: `(batch, num_reads)`.
        read_interpolation_gate: `(batch, num_reads)`.
        read_shift_weights: `(batch, num_reads, 2 * shift_range + 1)`, or `None`.
        read_sharpness: `(batch, num_reads)`.
    """

    write_vectors: Any
    erase_vectors: Any
    write_keys: Any
    write_strengths: Any
    write_interpolation_gate: Any
    write_shift_weights: Any
    write_sharpness: Any
    read_keys: Any
    read_strengths: Any
    read_interpolation_gate: Any
    read_shift_weights: Any
    read_sharpness: Any

    def of(self, verb):
        """Give the `HeadControls` of the heads that `"write"` or `"read"`."""
        named = self._asdict()
        return HeadControls(*(named[f"{verb}_{n}"] for n in HeadControls._fields))


_NO_CONTROLS = NTMControls(*[None] * len(NTMControls._fields))


class NTMNotes(NamedTuple):
    """What back-propagation takes over from a step instead of computing it again.

    Attributes:
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1].
        write_vectors: `(batch, num_writes, word_size)`.
    """

    erase_vectors: Any
    write_vectors: Any


_NOTHING_RECORDED = NTMAccessState(None, None, None)


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMAccess(keras.layers.Layer):
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
            at least 0, an unknown `initial_memory` or `strength`, or a call argument of
            the wrong shape.

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

    def __init__(
        self,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        shift_range: int = 1,
        initial_memory: str = "constant",
        strength: str = "softplus",
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.memory_size = positive_integer("memory_size", memory_size)
        self.word_size = positive_integer("word_size", word_size)
        self.num_reads = positive_integer("num_reads", num_reads)
        self.num_writes = positive_integer("num_writes", num_writes)
        self.shift_range = natural_number("shift_range", shift_range)
        check_choice("initial_memory", initial_memory, INITIAL_MEMORIES)
        self.initial_memory = initial_memory
        self.strength = strength
        self.addressing = NTMAddressing(strength, dtype=self.dtype_policy)
        self.interface = Interface(
            self._control_shapes(), dtype=self.dtype_policy, name="interface"
        )

    def _control_shapes(self):
        word, shifts = self.word_size, 2 * self.shift_range + 1

        def heads(count):
            return HeadControls(
                keys=((count, word), "tanh"),
                strengths=((count,), "linear"),
                interpolation_gate=((count,), "sigmoid"),
                shift_weights=((count, shifts), "softmax") if shifts > 1 else None,
                sharpness=((count,), "linear"),
            )

        shapes = NTMControls(
            ((self.num_writes, word), "tanh"),
            ((self.num_writes, word), "sigmoid"),
            *heads(self.num_writes),
            *heads(self.num_reads),
        )
        return {name: shape for name, shape in shapes._asdict().items() if shape}

    @property
    def state_shapes(self):
        """`NTMAccessState` with the shape of one sample at each leaf."""
        return NTMAccessState(
            memory=(self.memory_size, self.word_size),
            read_weights=(self.num_reads, self.memory_size),
            write_weights=(self.num_writes, self.memory_size),
        )

    @property
    def note_shapes(self):
        """`NTMNotes` with the shape of one sample at each leaf."""
        return NTMNotes(*[(self.num_writes, self.word_size)] * 2)

    def build(self, inputs_shape, state_shape=None):
        """Create the interface, and a fresh memory that is not constant."""
        check_shape("inputs", inputs_shape, ("batch", "features"))
        self.interface.build(inputs_shape)
        self.fresh_memory = None
        if self.initial_memory != "constant":
            self.fresh_memory = self.add_weight(
                name="fresh_memory",
                shape=self.state_shapes.memory,
                initializer=keras.initializers.RandomNormal(stddev=0.5),
                trainable=self.initial_memory == "learned",
                autocast=False,
            )

    @property
    def fresh_state(self):
        """`NTMAccessState` of one sample: all heads on slot 0, a fresh memory."""
        _check_built(self)
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

    def get_initial_state(self, batch_size):
        """Give the `NTMAccessState` of a fresh memory."""
        return NTMAccessState(
            *(
                ops.broadcast_to(fresh, (batch_size, *shape))
                for fresh, shape in zip(
                    self.fresh_state, self.state_shapes, strict=True
                )
            )
        )

    def call(self, inputs, state):
        """Write and read as `inputs` ask."""
        check_shape("inputs", inputs.shape, ("batch", "features"))
        state = named_leaves(state, self.state_shapes)
        return self.step(self.controls(inputs), state)[:2]

    def controls(self, inputs):
        """Give the `NTMControls` that the controller's output stands for."""
        return _NO_CONTROLS._replace(**self.interface(inputs))

    def step(self, controls, state, recorded=None):
        """Write, then read.

        Args:
            controls: `NTMControls`.
            state: The previous `NTMAccessState`.
            recorded: `(state, notes)` of the same step when it was taken before, for
                back-propagation to take over, or `None`.

        Returns:
            `(read_words, state, notes)`: as `call`, and `NTMNotes`.
        """
        before = _NOTHING_RECORDED if recorded is None else recorded[0].access
        write_weights = recall(
            before.write_weights,
            self.addressing(state.memory, controls.of("write"), state.write_weights),
        )
        notes = NTMNotes(controls.erase_vectors, controls.write_vectors)
        memory = erase_and_write(state.memory, write_weights, *notes)
        read_weights = recall(
            before.read_weights,
            self.addressing(memory, controls.of("read"), state.read_weights),
        )
        state = NTMAccessState(memory, read_weights, write_weights)
        return ops.matmul(read_weights, memory), state, notes

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in _OPTIONS},
        }


_OPTIONS = (
    "memory_size",
    "word_size",
    "num_reads",
    "num_writes",
    "shift_range",
    "initial_memory",
    "strength",
)  # of `NTMAccess`, and of the cell around it


def _check_built(layer):
    """Raise a `ValueError` where the weights of a fresh state are not there yet."""
    if not layer.built:
        raise ValueError(
            "A layer must be built before it has a fresh state, which it may learn. "
            f"Received: {layer!r} without weights"
        )


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMCell(AccessCell):
    r"""Neural Turing Machine: a controller, and heads that step through a memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{NTMAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    A sequence starts with every head on slot 0, with the fresh memory that
    `initial_memory` names, and with learned read words. The flat state is what that
    start lacks, so that the all-zero state is the start; `unflatten` gives memory,
    weights and words as they are. Another cell starts elsewhere: between two cells,
    hand over what one has unflattened for the other to flatten. At the border, weights
    at slot 0 are exact to 6e-8.

    Departures: see `NTMAddressing` and `NTMAccess`. The output is linear, and squashed
    by the loss; controller output, controller state and output are clipped
    (`clip_value=None` switches it off), as in Collier and Beel 2018.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2, such as a
            `FeedForwardController`.
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        num_writes: Write heads.
        shift_range: Slots that a head may go on in one step, in either direction; 0
            for none.
        initial_memory: What a fresh memory holds: `"constant"` for 1e-6 everywhere,
            which learns fastest (Collier and Beel 2018), `"random"` for numbers drawn
            once, `"learned"` for trained ones. `resize_memory` takes the first alone.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for none.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        **kwargs: `bypass_dropout`, as in `DNCCell`; `name`, and `dtype`: under a mixed
            or half-precision policy an LSTM made from units follows it and the memory
            stays in float32; a controller that is passed has a policy of its own.

    Call arguments:
        inputs: `(batch, features)`.
        states: Flat list of `(batch, size)`; see `unflatten`.
        training: Whether the controller's dropout is on.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new flat list.

    Raises:
        ValueError: A size that is no positive integer, a controller that is no RNN
            cell, `shift_range` is no integer of at least 0, an unknown
            `initial_memory` or `strength`, or inputs of the wrong rank.

    Example:
        >>> import keras
        >>> import keras_dnc
        >>> inputs = keras.Input((None, 9))
        >>> cell = keras_dnc.NTMCell(8, controller=64, memory_size=32)
        >>> outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
        >>> keras.Model(inputs, outputs).output_shape
        (None, None, 8)

    References:
        - Graves et al. 2014, Neural Turing Machines.
        - Collier and Beel 2018, Implementing Neural Turing Machines, ICANN.
    """

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer = 100,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        shift_range: int = 1,
        initial_memory: str = "constant",
        clip_value: float | None = 20.0,
        strength: str = "softplus",
        **kwargs: Any,
    ) -> None:
        super().__init__(output_size, controller, clip_value, **kwargs)
        self.access = NTMAccess(
            memory_size=memory_size,
            word_size=word_size,
            num_reads=num_reads,
            num_writes=num_writes,
            shift_range=shift_range,
            initial_memory=initial_memory,
            strength=strength,
            dtype=self.dtype_policy,
            name="access",
        )
        for name in _OPTIONS:
            setattr(self, name, getattr(self.access, name))

    def build(self, input_shape):
        """Create the weights of controller, access and output, and the first words."""
        super().build(input_shape)
        self.fresh_read_words = self.add_weight(
            name="fresh_read_words",
            shape=(self.num_reads, self.word_size),
            initializer="zeros",
            autocast=False,
        )

    @property
    def fresh_state(self):
        """The learned read words, and the fresh state of `access`."""
        _check_built(self)
        words = ops.convert_to_tensor(self.fresh_read_words)
        return {"read_words": words[None], **self.access.fresh_state._asdict()}

    @property
    def replayed_states(self):
        """The memory, which is larger than all others together."""
        return ["memory"]

    def replay(self, state, recorded):
        """Write again where the step has written."""
        write_weights = recorded.state.access.write_weights
        return [erase_and_write(state.access.memory, write_weights, *recorded.notes)]

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in _OPTIONS},
        }
