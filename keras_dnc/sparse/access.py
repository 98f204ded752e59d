"""One step of writing to and reading from a sparse memory.

Rae et al. 2016, sections 3.1 to 3.3.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_at_most
from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.memory_cell import leaf_names
from keras_dnc.cells.row_access import ReadRows
from keras_dnc.cells.row_access import RowAccess
from keras_dnc.cells.row_access import WriteRows
from keras_dnc.cells.row_access import Written
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import weight_at
from keras_dnc.ops.rows import where_active
from keras_dnc.ops.similarity import STRENGTHS
from keras_dnc.ops.similarity import cosine_similarity
from keras_dnc.sparse.hashing import as_search
from keras_dnc.sparse.least_recent import accessed
from keras_dnc.sparse.least_recent import least_recent
from keras_dnc.sparse.least_recent import level_sizes
from keras_dnc.sparse.least_recent import rewound
from keras_dnc.sparse.search import Search
from keras_dnc.typing import Controls, DType, Fields, Shape, State, Tensor, Tensors

MAX_SLOTS = 2**24  # states are float32, which is exact for whole numbers up to this
_THRESHOLD = 0.005  # the paper's delta: a slot of less weight is not accessed
_FAR_BELOW = -1e9  # a score of softmax 0; finite, so that its gradient is not NaN


class SparseAccessState(NamedTuple):
    """State of a sparse memory and its addressing.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        index: Index of the search, a list of tensors; see `Search.state_shapes`.
        accesses: Time of last access, a list of tensors; see `sparse.least_recent`.
        time: `(batch, 1)`, number of steps taken; see `sparse.least_recent.rewound`.
        read_slots: `(batch, num_reads, top_k)`, slots read in the previous step.
        read_weights: `(batch, num_reads, top_k)`, rows sum to at most 1.
    """

    memory: Tensor  # M_t
    index: Tensors  # type: ignore[assignment]  # hides `tuple.index`
    accesses: Tensors
    time: Tensor  # t
    read_slots: Tensor
    read_weights: Tensor  # w_t^{R,i}


class SparseControls(NamedTuple):
    """Controls that the controller emits in one step.

    Attributes:
        write_vector: `(batch, word_size)`, added to the slots written.
        write_gate: `(batch, 1)`, in [0, 1]: how much to write.
        write_mode: `(batch, num_reads + 1)`, sums to 1: share of the write to the slots
            that each head read in the previous step, and to the slot accessed least
            recently.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`, before squashing.
    """

    write_vector: Tensor  # v_t
    write_gate: Tensor  # alpha_t
    write_mode: Tensor  # gamma_t
    read_keys: Tensor  # k_t^i
    read_strengths: Tensor  # beta_t^i


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseAccess(RowAccess):
    r"""One write head and several read heads, each over a few slots.

    $$r^i_t = M_t^\top w^{R,i}_t, \quad
    w^{R,i}_t = \mathrm{softmax}_K(\beta^i_t \cos(k^i_t, M_t)) \tag{1}$$
    $$w^W_t = \alpha_t (\textstyle\sum_i \gamma^i_t w^{R,i}_{t-1}
    + \gamma^0_t 1_{LRA}) \tag{5}$$
    $$M_t = M_{t-1} \circ (1 - 1_{LRA} 1^\top) + w^W_t v_t^\top$$

    The softmax is over the K slots most similar to the key. LRA is the slot accessed
    least recently: a slot is accessed in a step in which its read and write weights sum
    to more than 0.005.

    Departures:

    - One write head serves all read heads, and $\gamma_t$ is a softmax over them; with
      one read head, this is the paper's gate.
    - The initial memory is zero.

    Args:
        memory_size: Slots of the memory, at most 2^24. Defaults to 1024.
        word_size: Numbers in a slot. Defaults to 32.
        num_reads: Read heads. Defaults to 4.
        top_k: Slots that a head reads, K. Defaults to 4.
        search: `"exact"` for `ExactSearch`, `"lsh"` for `LSHSearch` with its defaults,
            or a `Search` layer. Defaults to `"exact"`.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed. Defaults
            to `"softplus"`.
        control_biases: Biases of `SparseControls` before training: dict from names of
            controls to numbers; see `Interface`. Defaults to none.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `SparseAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `SparseAccessState`.

    Raises:
        ValueError: If a size is not a positive integer, `memory_size` is above 2^24,
            `top_k` is above `memory_size`, `search` or `strength` is unknown,
            `control_biases` do not fit the controls, or a call argument has the wrong
            shape.

    Example:
        >>> import numpy as np
        >>> access = SparseAccess(memory_size=4096, word_size=8, num_reads=2)
        >>> state = access.get_initial_state(batch_size=3)
        >>> read_words, state = access(np.ones((3, 32), "float32"), state)
        >>> tuple(read_words.shape), tuple(state.read_slots.shape)
        ((3, 2, 8), (3, 2, 4))

    References:
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, sections 3.1 to 3.3.
    """

    controls_type: Any = SparseControls

    def __init__(
        self,
        memory_size: int = 1024,
        word_size: int = 32,
        num_reads: int = 4,
        top_k: int = 4,
        search: str | Search = "exact",
        strength: str = "softplus",
        control_biases: Mapping[str, Any] | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        memory_size = _checked_size(memory_size)
        super().__init__(memory_size, word_size, num_reads, dtype, **kwargs)
        self.top_k = positive_integer("top_k", top_k)
        check_at_most("top_k", self.top_k, "memory_size", self.memory_size)
        check_choice("strength", strength, STRENGTHS)
        self.strength = strength
        self.search = as_search(search, self.dtype_policy)
        self.create_interface(control_biases)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `SparseControls` to `(shape, activation)`."""
        reads, word = self.num_reads, self.word_size
        return {
            "write_vector": ((word,), "linear"),  # v_t
            "write_gate": ((1,), "sigmoid"),  # alpha_t
            "write_mode": ((reads + 1,), "softmax"),  # gamma_t
            "read_keys": ((reads, word), "linear"),  # k_t^i
            "read_strengths": ((reads,), "linear"),  # beta_t^i
        }

    @property
    def state_shapes(self) -> State:
        """`SparseAccessState` with the shape of one batch element at each leaf."""
        read = (self.num_reads, self.top_k)
        return SparseAccessState(
            memory=(self.memory_size, self.word_size),
            index=self.search.state_shapes(self.memory_size),
            accesses=[(size,) for size in level_sizes(self.memory_size)],
            time=(1,),
            read_slots=read,
            read_weights=read,
        )

    @property
    def tables(self) -> list[str]:
        """Names of memory, index of the search, and times of last access."""
        shapes = self.state_shapes
        index = leaf_names(shapes.index, "index")
        return ["memory", *index, *leaf_names(shapes.accesses, "accesses")]

    def build(self, inputs_shape: Shape, state_shape: Any = None) -> None:
        """Create the weights of interface and search."""
        super().build(inputs_shape, state_shape)
        self.search.prepare(self.memory_size, self.word_size)

    def decode(self, state: State) -> State:
        """Rewind the clock of a state that has taken very many steps."""
        accesses, time = rewound(state.accesses, state.time)
        return state._replace(accesses=accesses, time=time)

    def select_writes(self, state: State) -> WriteRows:
        """Select the slots read in the previous step and the least recent one."""
        erased = ops.cast(least_recent(state.accesses), self.compute_dtype)  # LRA
        was_read = self._flat(state.read_slots)
        return WriteRows(ops.concatenate([was_read, erased], axis=1), erased)

    def write(
        self, controls: Controls, state: State, rows: WriteRows
    ) -> tuple[Tensor, Tensor]:
        """Write to the slots each head has read and to the least recent one."""
        modes = controls.write_gate * controls.write_mode  # alpha_t gamma_t
        weights = self._flat(modes[:, :-1, None] * state.read_weights)
        weights = ops.concatenate([weights, modes[:, -1:]], axis=1)  # w_t^W, eq. 5
        return weights, weights[:, :, None] * controls.write_vector[:, None, :]

    def index(self, state: State, written: Written, active: Tensor | None) -> State:
        """Update the index of the search."""
        index = self.search.update(
            state.index, written.slots, written.before, written.after, active
        )
        return state._replace(index=index)

    def select_reads(self, controls: Controls, state: State) -> Any:
        """Select the slots most similar to the keys, as `ReadRows`."""
        slots, found = self._most_similar(controls, state)
        return ReadRows(self._flat(slots), found)

    def _most_similar(self, controls: Controls, state: State) -> tuple[Tensor, Tensor]:
        """Return slots, and 1 for each slot found, both `(batch, num_reads, top_k)`."""
        keys, memory = map(ops.stop_gradient, (controls.read_keys, state.memory))
        slots, found = self.search.find(memory, state.index, keys, self.top_k)
        dtype = self.compute_dtype
        return ops.cast(slots, dtype), ops.cast(found, dtype)

    def read(
        self, controls: Controls, state: State, rows: Any, words: Tensor
    ) -> Fields:
        """Read from the rows found, weighted by their similarity to the keys."""
        words = self._by_head(words, self.word_size)
        weights = self._content_weights(controls, words, rows.found)  # w_t^{R,i}
        return {
            "read_words": weighted_sum(weights, words),  # r_t^i, eq. 1
            "read_slots": self._by_head(rows.candidates),
            "read_weights": weights,
            "time": state.time + 1.0,
        }

    def _flat(self, tensor: Tensor) -> Tensor:
        """Return `(batch, num_reads * any)` of `(batch, num_reads, any)`."""
        return ops.reshape(tensor, (-1, self.num_reads * tensor.shape[2]))

    def _by_head(self, tensor: Tensor, *shape: int) -> Tensor:
        """Return `(batch, num_reads, any, ...)` of `(batch, num_reads * any, ...)`."""
        count = tensor.shape[1] // self.num_reads
        return ops.reshape(tensor, (-1, self.num_reads, count, *shape))

    def _content_weights(
        self, controls: Controls, words: Tensor, found: Tensor
    ) -> Tensor:
        """Return the softmax over the rows found, `(batch, num_reads, top_k)`."""
        cosine = cosine_similarity(
            ops.reshape(words, (-1, self.top_k, self.word_size)),
            ops.reshape(controls.read_keys, (-1, 1, self.word_size)),
        )
        cosine = ops.reshape(cosine, (-1, self.num_reads, self.top_k))
        strengths = STRENGTHS[self.strength](controls.read_strengths)
        scores = ops.where(found > 0.0, cosine * strengths[:, :, None], _FAR_BELOW)
        return found * ops.softmax(scores, axis=-1)

    def finish(self, state: State, written: Written, active: Tensor | None) -> State:
        """Set the time of last access of the slots accessed in this step."""
        slots = ops.concatenate([written.slots, self._flat(state.read_slots)], axis=1)
        weights = [written.weights, self._flat(state.read_weights)]
        weights = ops.stop_gradient(ops.concatenate(weights, axis=1))
        old = gather_rows(state.accesses[0], slots)
        is_accessed = weight_at(slots, slots, weights) > _THRESHOLD
        new = ops.where(is_accessed, state.time, old)
        new = where_active(active, new, old)
        return state._replace(accesses=accessed(state.accesses, slots, new))

    def get_options(self) -> dict[str, Any]:
        """Return the constructor's arguments without those of `keras.layers.Layer`."""
        search = keras.saving.serialize_keras_object(self.search)
        return {**super().get_options(), "search": search}


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """Sum rows over slots, weighted.

    Args:
        weights: `(batch, heads, count)`.
        rows: `(batch, heads, count, word_size)`.

    Returns:
        `(batch, heads, word_size)`.
    """
    return ops.sum(weights[..., None] * rows, axis=2)


def _checked_size(memory_size: int) -> int:
    """Return `memory_size`, or raise a `ValueError` if it is not allowed."""
    if positive_integer("memory_size", memory_size) > MAX_SLOTS:
        raise ValueError(
            f"Argument `memory_size` must be at most {MAX_SLOTS} (2^24): states are "
            "float32 and slots beyond it are not told apart. "
            f"Received: memory_size={memory_size!r}"
        )
    return int(memory_size)
