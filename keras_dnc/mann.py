"""Santoro et al. 2016: memory-augmented networks for one-shot learning (MANN).

Least Recently Used Access writes to the slots read in the previous step or to the least
used slots, and reads by content alone: a single example suffices to store a class and
find it again (arXiv 1605.06065).

Equation numbers are the paper's:

    2  similarity     K(k_t, M_t(i)) = k_t . M_t(i) / (|k_t| |M_t(i)|)
    3  read weights   w_t^r = softmax(K(k_t, M_t))
    4  read words     r_t = sum_i w_t^r(i) M_t(i)
    5  usage          w_t^u = gamma w_{t-1}^u + w_t^r + w_t^w
    6  least used     w_t^lu(i) = 1 where w_t^u(i) is among the n smallest, else 0
    7  write weights  w_t^w = sigma(alpha) w_{t-1}^r + (1 - sigma(alpha)) w_{t-1}^lu
    8  memory         M_t(i) = M_{t-1}(i) + w_t^w(i) k_t, after erasing the least used

Reading order: `LRUAccess` (one step of writing and reading), `MANNCell` (the network as
a Keras RNN cell).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import probability
from keras_dnc.arguments import switch
from keras_dnc.cells.access import Access
from keras_dnc.cells.access import Found
from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.access_cell import cell_around
from keras_dnc.cells.access_cell import split_options
from keras_dnc.ops.ranking import BEYOND
from keras_dnc.ops.similarity import STRENGTHS
from keras_dnc.ops.similarity import fast_cosine_similarity
from keras_dnc.ops.similarity import weighted_softmax
from keras_dnc.typing import DType, Fields, Shape, Tensor


class LRUAccessState(NamedTuple):
    """State of the memory and its usage.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, at least 0: decaying sum of read and write
            weights.
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1, or to 0 before
            the first step.
        write_weights: `(batch, num_reads, memory_size)`, in [0, 1].
    """

    memory: Tensor  # M_t
    usage: Tensor  # w_t^u
    read_weights: Tensor  # w_t^r
    write_weights: Tensor  # w_t^w


class LRUControls(NamedTuple):
    """Controls that the controller emits in one step.

    Attributes:
        read_keys: `(batch, num_reads, word_size)`, in [-1, 1].
        reuse_gate: `(batch, num_reads)`, in [0, 1]: write to the slots that the head
            read in the previous step (1) or to the least used slots (0).
        write_keys: `(batch, num_reads, word_size)`, in [-1, 1], added to the slots
            written; equal to `read_keys` without `own_write_keys`.
        read_strengths: `(batch, num_reads)`, any real number, before squashing; `None`
            where keys have no strength.
    """

    read_keys: Tensor  # k_t
    reuse_gate: Tensor  # sigma(alpha)
    write_keys: Tensor  # k_t
    read_strengths: Tensor | None = None  # beta_t


def least_used(usage: Tensor, count: int) -> list[Tensor]:
    """Find the slots used least (eq. 6); of equally used slots, the first.

    Args:
        usage: `(batch, memory_size)`.
        count: Number of slots to find, n; all slots if the memory has fewer.

    Returns:
        List of `(batch, memory_size)`, each 1 at one slot and 0 elsewhere, the least
        used slot first.
    """
    slots, found = usage.shape[-1], []
    for _ in range(min(count, slots)):
        # On TensorFlow, an `argmin` of floats has bit operations that ONNX lacks.
        is_least = usage == ops.min(usage, axis=-1, keepdims=True)
        first = ops.argmax(ops.cast(is_least, "int32"), axis=-1)
        found.append(ops.one_hot(first, slots, dtype=usage.dtype))
        usage = ops.where(found[-1] > 0, BEYOND, usage)
    return found


@keras.saving.register_keras_serializable(package="keras_dnc")
class LRUAccess(Access):
    r"""Heads that write to recently read or least used slots, and read by content.

    $$w^{r,i}_t = \mathrm{softmax}(\cos(k^i_t, M_t)) \tag{2, 3}$$
    $$r^i_t = M_t^\top w^{r,i}_t \tag{4}$$
    $$w^u_t = \gamma w^u_{t-1} + \sum_i w^{r,i}_t + \sum_i w^{w,i}_t \tag{5}$$
    $$w^{w,i}_t = \sigma(\alpha^i) w^{r,i}_{t-1}
    + (1 - \sigma(\alpha^i)) w^{lu}_{t-1} \tag{7}$$
    $$M_t = M_{t-1} \circ (1 - \mathrm{first}(w^{lu}_{t-1}) 1^\top)
    + \sum_i w^{w,i}_t (k^i_t)^\top \tag{8}$$

    where $w^{lu}$ is 1 at the least used slots, as many as there are read heads
    (equation 6), and $\mathrm{first}(w^{lu})$ is 1 at the least used of them, which is
    erased, at every step, even where the heads write to other slots. Each read head has
    a write head. No gradient flows through the choice of the least used slots.

    Without a strength, weights of two slots differ by a factor of at most $e^2$: of 128
    slots, a single one has a weight of at most 5.5 %. With `strength`, each key has a
    strength $\beta^i$, which the Neural Turing Machine has too, and equation 3 becomes
    $\mathrm{softmax}(\beta^i_t \cos(k^i_t, M_t))$.

    Departures: keys are squashed by tanh; the paper does not specify their range.

    Args:
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 40.
        num_reads: Read heads, and write heads. Defaults to 4.
        usage_decay: Factor of the previous usage in equation 5, the paper's gamma, at
            least 0 and below 1. Defaults to 0.95.
        own_write_keys: Whether the controller emits vectors to write that differ from
            the keys to read by. Defaults to `False`.
        strength: `None` for keys without a strength (the paper); `"softplus"` or
            `"oneplus"`, how strengths are squashed. Defaults to `None`.
        control_biases: Biases of `LRUControls` before training: dict from names of
            controls to numbers; see `Interface`. Defaults to none.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `LRUAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `LRUAccessState`.

    Raises:
        ValueError: If a size is not a positive integer, `usage_decay` is out of range,
            `own_write_keys` is not a bool, `strength` is unknown, `control_biases` do
            not fit the controls, or a call argument has the wrong shape.

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
        self.own_write_keys = switch("own_write_keys", own_write_keys)
        check_choice("strength", strength, (None, *STRENGTHS))
        self.strength = strength
        self.create_interface(control_biases)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `LRUControls` to `(shape, activation)`."""
        words = ((self.num_reads, self.word_size), "tanh")
        shapes: dict[str, tuple[Shape, str]] = {
            "read_keys": words,  # k_t
            "reuse_gate": ((self.num_reads,), "sigmoid"),  # sigma(alpha)
        }
        if self.own_write_keys:
            shapes["write_keys"] = words
        if self.strength is not None:
            shapes["read_strengths"] = ((self.num_reads,), "linear")  # beta_t
        return shapes

    @property
    def state_shapes(self) -> LRUAccessState:
        """`LRUAccessState` with the shape of one batch element at each leaf."""
        return LRUAccessState(
            memory=(self.memory_size, self.word_size),
            usage=(self.memory_size,),
            read_weights=(self.num_reads, self.memory_size),
            write_weights=(self.num_reads, self.memory_size),
        )

    def controls(self, inputs: Tensor) -> LRUControls:
        """Return the `LRUControls`; without `own_write_keys`, the keys are written."""
        controls = super().controls(inputs)
        if self.own_write_keys:
            return controls
        return controls._replace(write_keys=controls.read_keys)

    def address(
        self, controls: LRUControls, state: LRUAccessState, found: Found
    ) -> Fields:
        """Mix the slots read in the previous step and the least used slots."""
        usage = ops.stop_gradient(state.usage)
        slots = least_used(usage, self.num_reads)
        unused: Tensor = sum(slots)  # w_{t-1}^lu, eq. 6
        gate = ops.expand_dims(controls.reuse_gate, -1)  # sigma(alpha)
        weights = gate * state.read_weights + (1.0 - gate) * unused[:, None]
        return {"write_weights": weights, "erased": slots[0]}  # w_t^w, eq. 7

    def write(
        self, controls: LRUControls, state: LRUAccessState, found: Found
    ) -> Fields:
        """Erase the least used slot, and add the keys to the slots written."""
        columns = ops.transpose(found.write_weights, (0, 2, 1))
        kept = ops.expand_dims(1.0 - found.erased, -1)
        added = ops.matmul(columns, controls.write_keys)
        return {"memory": state.memory * kept + added}  # M_t, eq. 8

    def read(
        self, controls: LRUControls, state: LRUAccessState, found: Found
    ) -> Fields:
        """Read from the slots most similar to the keys, and update the usage."""
        similarity = fast_cosine_similarity(found.memory, controls.read_keys)  # eq. 2
        if self.strength is None:
            weights = ops.softmax(similarity)  # w_t^r, eq. 3
        else:
            strengths = STRENGTHS[self.strength](controls.read_strengths)  # beta_t
            weights = weighted_softmax(similarity, strengths)
        used = ops.sum(weights, axis=1) + ops.sum(found.write_weights, axis=1)
        return {
            "read_weights": weights,
            "usage": self.usage_decay * state.usage + ops.stop_gradient(used),  # eq. 5
            "read_words": ops.matmul(weights, found.memory),  # r_t, eq. 4
        }


@keras.saving.register_keras_serializable(package="keras_dnc")
@cell_around(LRUAccess)
class MANNCell(AccessCell):
    r"""MANN: a controller that drives a memory of least recently used access.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{LRUAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    The all-zero state is a fresh memory.

    Departures, besides those of `LRUAccess`:

    - The output is linear; the loss squashes it.
    - Controller output, controller state and output are clipped; `clip_value=None`
      disables clipping.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 200 units.
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 40.
        num_reads: Read heads, and write heads. Defaults to 4.
        {options}

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If a size is not a positive integer, `controller` is neither a
            positive integer nor an RNN cell, `usage_decay`, `clip_value` or
            `bypass_dropout` is out of range, `own_write_keys` is not a bool, `strength`
            is unknown, `control_biases` do not fit the controls, or the inputs have the
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
        **options: Any,
    ) -> None:
        own, options = split_options(options, MANNCell)
        access = LRUAccess(memory_size, word_size, num_reads, **options)
        super().__init__(output_size, controller, access, **own)
