"""The memory of MANN, which learns to bind at first sight (Santoro et al. 2016).

Least Recently Used Access: it writes to the slots that were read last, or to those that
nothing has used for longest, and finds what it wrote by content alone. Reading order:
`LRUAccess` (one step of writing and reading), `MANNCell` (a controller beside it).
"""

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import probability
from keras_dnc.cells.access import Access
from keras_dnc.cells.access import Found
from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.similarity import STRENGTHS
from keras_dnc.ops.similarity import fast_cosine_similarity
from keras_dnc.ops.similarity import weighted_softmax
from keras_dnc.signature import passes_on
from keras_dnc.typing import DType
from keras_dnc.typing import Fields
from keras_dnc.typing import Shape
from keras_dnc.typing import Tensor


class LRUAccessState(NamedTuple):
    """The memory, and when its slots were used.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, at least 0: reads and writes, decaying.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1, or to 0 before
            the first step.
        write_weights: `(batch, num_reads, memory_size)`, in [0, 1].
    """

    memory: Tensor
    usage: Tensor
    read_weights: Tensor
    write_weights: Tensor


class LRUControls(NamedTuple):
    """What the controller asks of the memory in one step.

    Attributes:
        read_keys: `(batch, num_reads, word_size)`, in [-1, 1].
        reuse_gate: `(batch, num_reads)`, in [0, 1]: write where the head has just read
            (1), or to the least used slots (0).
        write_keys: `(batch, num_reads, word_size)`, in [-1, 1], what to write; the
            same as `read_keys` unless `own_write_keys`.
        read_strengths: `(batch, num_reads)`, any real number, before squashing; `None`
            where keys have no strength.
    """

    read_keys: Tensor
    reuse_gate: Tensor
    write_keys: Tensor
    read_strengths: Tensor | None = None


def least_used(usage: Tensor, count: int) -> list[Tensor]:
    """Find the slots that were used least; among equals, the first.

    Args:
        usage: `(batch, memory_size)`.
        count: How many slots; all of a smaller memory.

    Returns:
        List of `(batch, memory_size)`, each 1 at one slot and 0 elsewhere, the least
        used slot first.
    """
    slots, found = usage.shape[-1], []
    for _ in range(min(count, slots)):
        # An `argmin` of floats has bit operations on TensorFlow, which ONNX has not.
        is_least = usage == ops.min(usage, axis=-1, keepdims=True)
        first = ops.argmax(ops.cast(is_least, "int32"), axis=-1)
        found.append(ops.one_hot(first, slots, dtype=usage.dtype))
        usage = ops.where(found[-1] > 0, float("inf"), usage)
    return found


@keras.saving.register_keras_serializable(package="keras_dnc")
class LRUAccess(Access):
    r"""Write where it was read last or where nothing was used; read by content.

    $$w^{w,i}_t = g^i w^{r,i}_{t-1} + (1 - g^i) w^{lu}_{t-1}$$
    $$M_t = M_{t-1} \circ (1 - \mathrm{first}(w^{lu}_{t-1}) 1^\top)
    + \sum_i w^{w,i}_t (k^i)^\top$$
    $$w^{r,i}_t = \mathrm{softmax}(\cos(k^i, M_t)), \quad r^i_t = M_t^\top w^{r,i}_t$$
    $$u_t = \gamma u_{t-1} + \sum_i w^{r,i}_t + \sum_i w^{w,i}_t$$

    with $w^{lu}$ 1 at as many slots as there are read heads, those of least usage and
    the first of equals, and first($w^{lu}$) 1 at the one that is wiped. Every read head
    has a write head beside it. Which slots are used least has no gradient.

    Without a strength, no slot can have a share of more than e^2 times another's: of
    128 slots, one that is found for sure has at most 5 %. `strength` gives each key
    one, as in the Neural Turing Machine: $\mathrm{softmax}(\beta^i \cos(k^i, M_t))$.

    Departures: keys are squashed by tanh, of which the paper does not speak. A slot is
    wiped at every step, even where the heads write elsewhere: the paper's words.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads, and write heads.
        usage_decay: How much of usage a step leaves, the paper's gamma, at least 0 and
            below 1.
        own_write_keys: Whether what is written differs from what is looked for.
        strength: `None` for keys without a strength (the paper); `"softplus"` or
            `"oneplus"`, how strengths are squashed.
        control_biases: Where `LRUControls` start before training: dict from their names
            to numbers, as in `Interface`.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `LRUAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `LRUAccessState`.

    Raises:
        ValueError: A size that is no positive integer, `usage_decay` outside of its
            range, `own_write_keys` is no bool, an unknown `strength`, `control_biases`
            that fit no control, or a call argument of the wrong shape.

    Example:
        >>> import numpy as np
        >>> access = LRUAccess(memory_size=16, word_size=8, num_reads=2)
        >>> state = access.get_initial_state(batch_size=4)
        >>> read_words, state = access(np.ones((4, 32), "float32"), state)
        >>> tuple(read_words.shape), tuple(state.usage.shape)
        ((4, 2, 8), (4, 16))

    References:
        - Santoro et al. 2016, One-shot learning with memory-augmented neural networks,
          section 3.2, eq. 2-8.
    """

    parts = ("address", "write", "read")
    controls_type = LRUControls

    def __init__(
        self,
        memory_size: int = 128,
        word_size: int = 40,
        num_reads: int = 4,
        usage_decay: float = 0.95,
        own_write_keys: bool = False,
        strength: str | None = None,
        control_biases: Mapping[str, Any] | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(memory_size, word_size, num_reads, dtype, **kwargs)
        self.usage_decay = probability("usage_decay", usage_decay)
        check_choice("own_write_keys", own_write_keys, (False, True))
        self.own_write_keys = own_write_keys
        check_choice("strength", strength, (None, *STRENGTHS))
        self.strength = strength
        self.create_interface(control_biases)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `LRUControls` to `(shape, activation)`."""
        words = ((self.num_reads, self.word_size), "tanh")
        shapes: dict[str, tuple[Shape, str]] = {
            "read_keys": words,
            "reuse_gate": ((self.num_reads,), "sigmoid"),
        }
        if self.own_write_keys:
            shapes["write_keys"] = words
        if self.strength is not None:
            shapes["read_strengths"] = ((self.num_reads,), "linear")
        return shapes

    @property
    def state_shapes(self) -> LRUAccessState:
        """`LRUAccessState` with the shape of one sample at each leaf."""
        return LRUAccessState(
            memory=(self.memory_size, self.word_size),
            usage=(self.memory_size,),
            read_weights=(self.num_reads, self.memory_size),
            write_weights=(self.num_reads, self.memory_size),
        )

    def controls(self, inputs: Tensor) -> LRUControls:
        """Return the `LRUControls`; unless `own_write_keys`, one key serves both."""
        controls = super().controls(inputs)
        if self.own_write_keys:
            return controls
        return controls._replace(write_keys=controls.read_keys)

    def address(
        self, controls: LRUControls, state: LRUAccessState, found: Found
    ) -> Fields:
        """Mix the slots read last and the slots used least, eq. 6 and 7."""
        usage = ops.stop_gradient(state.usage)
        slots = least_used(usage, self.num_reads)
        gate = ops.expand_dims(controls.reuse_gate, -1)  # sigma(alpha)
        weights = gate * state.read_weights + (1.0 - gate) * sum(slots)[:, None]
        return {"write_weights": weights, "erased": slots[0]}  # w_t^w

    def write(
        self, controls: LRUControls, state: LRUAccessState, found: Found
    ) -> Fields:
        """Erase the least used slot, and add the keys, eq. 8."""
        columns = ops.transpose(found.write_weights, (0, 2, 1))
        kept = ops.expand_dims(1.0 - found.erased, -1)
        added = ops.matmul(columns, controls.write_keys)
        return {"memory": state.memory * kept + added}  # M_t

    def read(
        self, controls: LRUControls, state: LRUAccessState, found: Found
    ) -> Fields:
        """Read what is similar to the keys, and count what was used."""
        similarity = fast_cosine_similarity(found.memory, controls.read_keys)  # eq. 2
        if self.strength is None:
            weights = ops.softmax(similarity)  # w_t^r, eq. 3
        else:
            strengths = STRENGTHS[self.strength](controls.read_strengths)
            weights = weighted_softmax(similarity, strengths)
        used = ops.sum(weights, axis=1) + ops.sum(found.write_weights, axis=1)
        return {
            "read_weights": weights,
            "usage": self.usage_decay * state.usage + ops.stop_gradient(used),  # eq. 5
            "read_words": ops.matmul(weights, found.memory),  # eq. 4
        }


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(LRUAccess)
class MANNCell(AccessCell):
    r"""MANN: a controller beside a memory that writes to its least used slots.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{LRUAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    The all-zero state is a fresh memory.

    Departures: see `LRUAccess`. The output is linear, and squashed by the loss;
    controller output, controller state and output are clipped (`clip_value=None`
    switches it off).

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 200 units.
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 40.
        num_reads: Read heads, and write heads. Defaults to 4.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for none. Defaults to 20.
        bypass_dropout: Fraction of the controller's output that the cell's output does
            not see in training, at least 0 and below 1, so that answers have to come
            from memory (Franke et al. 2018). Defaults to 0.
        dtype: Policy of an LSTM made from units; under a mixed or half-precision policy
            the memory stays in float32. A controller that is passed has its own.
            Defaults to Keras's global policy.
        name: Name of the layer. Defaults to a generated one.
        trainable: Whether the weights are trained. Defaults to `True`.
        {options}

    Call arguments:
        inputs: `(batch, features)`.
        states: Flat list of `(batch, size)`; see `unflatten`.
        training: Whether the controller's dropout is on.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new flat list.

    Raises:
        ValueError: A size that is no positive integer, a controller that is no RNN
            cell, `usage_decay` outside of its range, `own_write_keys` is no bool, an
            unknown `strength`, `control_biases` that fit no control, or inputs of the
            wrong rank.

    Example:
        >>> import keras
        >>> import keras_dnc
        >>> inputs = keras.Input((50, 405))
        >>> cell = keras_dnc.MANNCell(5, controller=200)
        >>> outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
        >>> keras.Model(inputs, outputs).output_shape
        (None, 50, 5)

    References:
        - Santoro et al. 2016, One-shot learning with memory-augmented neural networks.
    """

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer = 200,
        memory_size: int = 128,
        word_size: int = 40,
        num_reads: int = 4,
        *,
        clip_value: float | None = 20.0,
        bypass_dropout: float = 0.0,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        access = LRUAccess(
            memory_size,
            word_size,
            num_reads,
            dtype=full_precision(dtype),
            name="access",
            **options,
        )
        super().__init__(
            output_size,
            controller,
            access,
            clip_value,
            bypass_dropout,
            dtype=dtype,
            name=name,
            trainable=trainable,
        )
