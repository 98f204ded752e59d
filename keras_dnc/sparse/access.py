"""One step of writing to and reading from a sparse memory (Rae et al. 2016)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

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
from keras_dnc.sparse.least_recent import accessed
from keras_dnc.sparse.least_recent import least_recent
from keras_dnc.sparse.least_recent import level_sizes
from keras_dnc.sparse.search import Search
from keras_dnc.sparse.search import as_search
from keras_dnc.typing import Controls, DType, Fields, Shape, State, Tensor

MAX_SLOTS = 2**24  # float32, in which Keras carries states, holds whole numbers to here
_THRESHOLD = 0.005  # the paper's delta: less weight than this is no access
_FAR_BELOW = -1e9  # a score whose softmax is 0, finite so that its gradient is


class SparseAccessState(NamedTuple):
    """The memory and all that sparse addressing remembers of it.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        index: What the search remembers, a list of tensors.
        accesses: Time of last access, a list of tensors; see `sparse.least_recent`.
        time: `(batch, 1)`, steps taken.
        read_slots: `(batch, num_reads, top_k)`, slots that were last read.
        read_weights: `(batch, num_reads, top_k)`, rows sum to at most 1.
    """

    memory: Tensor
    index: list[Tensor]
    accesses: list[Tensor]
    time: Tensor
    read_slots: Tensor
    read_weights: Tensor


class SparseControls(NamedTuple):
    """What the controller asks of the memory in one step.

    Attributes:
        write_vector: `(batch, word_size)`, what to add.
        write_gate: `(batch, 1)`, in [0, 1]: write at all.
        write_mode: `(batch, num_reads + 1)`, sums to 1 over where to write: what each
            head has just read, and the slot accessed least recently.
        read_keys: `(batch, num_reads, word_size)`.
        read_strengths: `(batch, num_reads)`, before squashing.
    """

    write_vector: Tensor
    write_gate: Tensor
    write_mode: Tensor
    read_keys: Tensor
    read_strengths: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseAccess(RowAccess):
    r"""One write head and several read heads, each over a few slots.

    $$w^w = \alpha (\sum_i \gamma_i w^{r,i}_{t-1} + \gamma_0 1_{LRA})$$
    $$M_t = M_{t-1} \circ (1 - 1_{LRA} 1^\top) + w^w v^\top$$
    $$w^{r,i} = \mathrm{softmax}_K(\beta^i \cos(k^i, M_t))$$

    LRA is the slot accessed least recently, where an access is a read or write weight
    above 0.005 in sum; the softmax is over the K slots most like the key.

    Departures: one write head for all read heads, and gates $\gamma$ that choose among
    them (with one read head, the paper's); the initial memory is zero.

    Args:
        memory_size: Slots of the memory, at most 2^24.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        top_k: Slots that a head reads, K.
        search: `"exact"`, `"lsh"`, or a `Search` layer.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        control_biases: Where `SparseControls` start before training: dict from their
            names to numbers, as in `Interface`.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `SparseAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new state.

    Raises:
        ValueError: A size that is no positive integer or too large, an unknown `search`
            or `strength`, `control_biases` that fit no control, or a call argument of
            the wrong shape.

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
        if self.top_k > self.memory_size:
            raise ValueError(
                "Argument `top_k` must be at most `memory_size`. "
                f"Received: top_k={top_k!r}, memory_size={memory_size!r}"
            )
        check_choice("strength", strength, STRENGTHS)
        self.strength = strength
        self.search = as_search(search, self.dtype_policy)
        self.create_interface(control_biases)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `SparseControls` to `(shape, activation)`."""
        reads, word = self.num_reads, self.word_size
        return {
            "write_vector": ((word,), "linear"),
            "write_gate": ((1,), "sigmoid"),  # alpha_t
            "write_mode": ((reads + 1,), "softmax"),  # gamma_t
            "read_keys": ((reads, word), "linear"),
            "read_strengths": ((reads,), "linear"),
        }

    @property
    def state_shapes(self) -> Any:
        """`SparseAccessState` with the shape of one sample at each leaf."""
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
        """The memory, the index of the search, and the times of last access."""
        shapes = self.state_shapes
        index = leaf_names(shapes.index, "index")
        return ["memory", *index, *leaf_names(shapes.accesses, "accesses")]

    def build(self, inputs_shape: Shape, state_shape: Any = None) -> None:
        """Create the weights of interface and search."""
        super().build(inputs_shape, state_shape)
        self.search.prepare(self.memory_size, self.word_size)

    def select_writes(self, state: State) -> WriteRows:
        """Select the slots read last and the one accessed least recently."""
        erased = ops.cast(least_recent(state.accesses), self.compute_dtype)
        was_read = self._flat(state.read_slots)
        return WriteRows(ops.concatenate([was_read, erased], axis=1), erased)

    def write(
        self, controls: Controls, state: State, rows: WriteRows
    ) -> tuple[Tensor, Tensor]:
        """Write to the slots each head has read and to the least recent, eq. 5."""
        modes = controls.write_gate * controls.write_mode
        weights = self._flat(modes[:, :-1, None] * state.read_weights)
        weights = ops.concatenate([weights, modes[:, -1:]], axis=1)  # w_t^W
        return weights, weights[:, :, None] * controls.write_vector[:, None, :]

    def index(self, state: State, written: Written, active: Tensor | None) -> State:
        """Update the index of the search."""
        index = self.search.update(
            state.index, written.slots, written.before, written.after, active
        )
        return state._replace(index=index)

    def select_reads(self, controls: Controls, state: State) -> Any:
        """Select the slots most similar to the keys."""
        slots, found = self._most_similar(controls, state)
        return ReadRows(self._flat(slots), found)

    def _most_similar(self, controls: Controls, state: State) -> tuple[Tensor, Tensor]:
        """Return slots, `(batch, num_reads, top_k)`, and 1 where there is one."""
        keys, memory = map(ops.stop_gradient, (controls.read_keys, state.memory))
        slots, found = self.search.find(memory, state.index, keys, self.top_k)
        dtype = self.compute_dtype
        return ops.cast(slots, dtype), ops.cast(found, dtype)

    def read(
        self, controls: Controls, state: State, rows: Any, words: Tensor
    ) -> Fields:
        """Read from the rows found, weighted by content."""
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
        """Note the time at slots whose weights in sum count as an access."""
        slots = ops.concatenate([written.slots, self._flat(state.read_slots)], axis=1)
        weights = [written.weights, self._flat(state.read_weights)]
        weights = ops.stop_gradient(ops.concatenate(weights, axis=1))
        old = gather_rows(state.accesses[0], slots)
        is_accessed = weight_at(slots, slots, weights) > _THRESHOLD
        new = ops.where(is_accessed, state.time, old)
        new = where_active(active, new, old)
        return state._replace(accesses=accessed(state.accesses, slots, new))

    def get_options(self) -> dict[str, Any]:
        """Return the arguments that the classes of this layer add to `Layer`'s own."""
        search = keras.saving.serialize_keras_object(self.search)
        return {**super().get_options(), "search": search}


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """Sum `(batch, heads, count, word_size)` over slots, weighted."""
    return ops.sum(weights[..., None] * rows, axis=2)


def _checked_size(memory_size: int) -> int:
    """Return `memory_size`, unless its slots cannot be numbered exactly."""
    if positive_integer("memory_size", memory_size) > MAX_SLOTS:
        raise ValueError(
            f"Argument `memory_size` must be at most {MAX_SLOTS} (2^24): states are "
            "float32 and slots beyond it are not told apart. "
            f"Received: memory_size={memory_size!r}"
        )
    return int(memory_size)
