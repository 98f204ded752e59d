"""One step of writing to and reading from a sparse memory (Rae et al. 2016)."""

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.access import Access
from keras_dnc.cells.memory_cell import leaf_names
from keras_dnc.cells.memory_cell import recall
from keras_dnc.cells.touched import Touched
from keras_dnc.cells.touched import rows_after
from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import weight_at
from keras_dnc.ops.rows import where_active
from keras_dnc.ops.similarity import STRENGTHS
from keras_dnc.ops.similarity import cosine_similarity
from keras_dnc.sparse.accesses import accessed
from keras_dnc.sparse.accesses import least_recent
from keras_dnc.sparse.accesses import level_sizes
from keras_dnc.sparse.search import Search
from keras_dnc.sparse.search import as_search

MAX_SLOTS = 2**24  # float32, in which Keras carries states, holds whole numbers to here
_THRESHOLD = 0.005  # the paper's delta: less weight than this is no access
_FAR_BELOW = -1e9  # a score whose softmax is 0, finite so that its gradient is


class SparseAccessState(NamedTuple):
    """The memory and all that sparse addressing remembers of it.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        index: What the search remembers, a list of tensors.
        accesses: Time of last access, a list of tensors; see `accesses`.
        time: `(batch, 1)`, steps taken.
        read_slots: `(batch, num_reads, top_k)`, slots that were last read.
        read_weights: `(batch, num_reads, top_k)`, rows sum to at most 1.
    """

    memory: Any
    index: Any
    accesses: Any
    time: Any
    read_slots: Any
    read_weights: Any


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

    write_vector: Any
    write_gate: Any
    write_mode: Any
    read_keys: Any
    read_strengths: Any


class SparseNotes(NamedTuple):
    """What back-propagation takes over from a step instead of computing it again.

    Attributes:
        touched: `Touched`.
        found: `(batch, num_reads, top_k)`, 1 where the search found a slot, else 0.
    """

    touched: Any
    found: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseAccess(Access):
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

    options: tuple[str, ...] = (
        "memory_size",
        "word_size",
        "num_reads",
        "top_k",
        "strength",
    )
    replayed_states = None  # nothing is recomputed

    def __init__(
        self,
        memory_size: int = 1024,
        word_size: int = 32,
        num_reads: int = 4,
        top_k: int = 4,
        search: str | Search = "exact",
        strength: str = "softplus",
        control_biases: Mapping[str, Any] | None = None,
        dtype: Any = None,
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
        self._create_interface(control_biases)

    controls_type: Any = SparseControls

    def _control_shapes(self):
        reads, word = self.num_reads, self.word_size
        return SparseControls(
            write_vector=((word,), "linear"),
            write_gate=((1,), "sigmoid"),
            write_mode=((reads + 1,), "softmax"),
            read_keys=((reads, word), "linear"),
            read_strengths=((reads,), "linear"),
        )._asdict()

    @property
    def state_shapes(self):
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
    def edited_states(self):
        """Names of the states that are edited in place, the memory first."""
        shapes = self.state_shapes
        index = leaf_names(shapes.index, "index")
        return ["memory", *index, *leaf_names(shapes.accesses, "accesses")]

    @property
    def note_shapes(self):
        """`SparseNotes` with the shape of one sample at each leaf."""
        read = (self.num_reads, self.top_k)
        return SparseNotes(self._touched_shapes(self.num_reads * self.top_k), read)

    def _touched_shapes(self, reads):
        return Touched(
            written=(self.num_reads * self.top_k + 1,),
            erased=(1,),
            read=(reads,),
            rows=(reads, self.word_size),
        )

    def build(self, inputs_shape, state_shape=None):
        """Create the weights of interface and search."""
        super().build(inputs_shape, state_shape)
        self.search.prepare(self.memory_size, self.word_size)

    def controls(self, inputs):
        """Give the controls that the controller's output stands for."""
        return self.controls_type(**self.interface(inputs))

    def step(self, controls, state, recorded=None, active=None):
        """Write, search, read.

        Args:
            controls: `SparseControls`.
            state: The previous `SparseAccessState`. When the step was taken before, its
                `memory` stands for the rows at `Touched.read`, before the step.
            recorded: `(state, notes)` of the same step when it was taken before, or
                `None`.
            active: `(batch,)`, which samples take the step; the states that are edited
                in place stay as they are in others. `None` for all.

        Returns:
            `(read_words, state, notes)`: `(batch, num_reads, word_size)`, the new state
            and `SparseNotes`. When the step was taken before, the new state's `memory`
            stands for what is added at `Touched.written`, and others that are edited in
            place are the old.
        """
        write_weights = self._write_weights(controls, state)
        additions = write_weights[:, :, None] * controls.write_vector[:, None, :]
        if recorded is None:
            state, notes = self._edit(controls, state, write_weights, additions, active)
            rows = notes.touched.rows
        else:
            notes = recorded[1]
            rows = rows_after(state.memory, notes.touched, additions)
            rows = recall(notes.touched.rows, rows)
            state = state._replace(memory=additions)
        read_words, slots, weights, notes = self._read(controls, rows, notes)
        state = state._replace(
            time=state.time + 1.0, read_slots=slots, read_weights=weights
        )
        if recorded is None:
            written = notes.touched.written
            times = self._accessed(state, written, write_weights, active)
            state = state._replace(accesses=times)
        return read_words, state, notes

    def written(self, controls, state, notes):
        """Give where a step has written, as one head.

        Args:
            controls: `SparseControls` of the step.
            state: The `SparseAccessState` before it.
            notes: Its `SparseNotes`.

        Returns:
            `(slots, weights)`, each `(batch, 1, num_reads * top_k + 1)`: the slots that
            were read before the step and the one accessed least recently; they may
            repeat, and their weights add up.
        """
        weights = self._write_weights(controls, state)
        return notes.touched.written[:, None], weights[:, None]

    def _write_weights(self, controls, state):
        """Give weights for the slots that were read and the least recent, in a row."""
        modes = controls.write_gate * controls.write_mode
        weights = modes[:, :-1, None] * state.read_weights
        weights = ops.reshape(weights, (-1, self.num_reads * self.top_k))
        return ops.concatenate([weights, modes[:, -1:]], axis=1)

    def _edit(self, controls, state, write_weights, additions, active):
        """Write, and find what to read; give the edited state and the notes."""
        erased = ops.cast(least_recent(state.accesses), self.compute_dtype)
        was_read = ops.reshape(state.read_slots, (-1, self.num_reads * self.top_k))
        written = ops.concatenate([was_read, erased], axis=1)
        memory, before, after = add_to_rows(
            state.memory, written, erased, additions, active
        )
        index = self.search.update(state.index, written, before, after, active)
        state = state._replace(memory=memory, index=index)
        state = self._link(state, written, write_weights, active)
        keys = ops.stop_gradient(controls.read_keys)
        memory = ops.stop_gradient(memory)
        slots, found = self.search.find(memory, index, keys, self.top_k)
        slots = ops.cast(slots, self.compute_dtype)
        found = ops.cast(found, self.compute_dtype)
        slots, notes = self._candidates(state, slots, found)
        read = ops.reshape(slots, (-1, self.num_reads * slots.shape[2]))
        rows = gather_rows(state.memory, read)
        return state, notes._replace(touched=Touched(written, erased, read, rows))

    def _link(self, state, written, write_weights, active):
        """Give the state with what is written linked; here there are no links."""
        return state

    def _candidates(self, state, slots, found):
        """Give the slots that may be read, `(batch, num_reads, any)`, and the notes."""
        return slots, SparseNotes(touched=None, found=found)

    def _read(self, controls, rows, notes):
        """Weigh the rows; give words, slots and weights of what is read, and notes."""
        rows = self._by_head(rows, self.word_size)
        weights = self._content_weights(controls, rows, notes.found)
        slots = self._by_head(notes.touched.read)
        return weighted_sum(weights, rows), slots, weights, notes

    def _by_head(self, tensor, *shape):
        """Give `(batch, num_reads, any, ...)` of `(batch, num_reads * any, ...)`."""
        count = tensor.shape[1] // self.num_reads
        return ops.reshape(tensor, (-1, self.num_reads, count, *shape))

    def _content_weights(self, controls, rows, found):
        """Give the softmax over the rows found, `(batch, num_reads, top_k)`."""
        cosine = cosine_similarity(
            ops.reshape(rows, (-1, self.top_k, self.word_size)),
            ops.reshape(controls.read_keys, (-1, 1, self.word_size)),
        )
        cosine = ops.reshape(cosine, (-1, self.num_reads, self.top_k))
        strengths = STRENGTHS[self.strength](controls.read_strengths)
        scores = ops.where(found > 0.0, cosine * strengths[:, :, None], _FAR_BELOW)
        return found * ops.softmax(scores, axis=-1)

    def _accessed(self, state, written, write_weights, active):
        """Give the times of last access after this step."""
        reads = (-1, self.num_reads * self.top_k)
        slots = ops.concatenate([written, ops.reshape(state.read_slots, reads)], axis=1)
        weights = [write_weights, ops.reshape(state.read_weights, reads)]
        weights = ops.stop_gradient(ops.concatenate(weights, axis=1))
        old = gather_rows(state.accesses[0], slots)
        is_accessed = weight_at(slots, slots, weights) > _THRESHOLD
        new = ops.where(is_accessed, state.time, old)
        return accessed(state.accesses, slots, where_active(active, new, old))

    def get_options(self):
        """Dict from each of `options`, and `search`, to its value in a config."""
        search = keras.saving.serialize_keras_object(self.search)
        return {**super().get_options(), "search": search}


def weighted_sum(weights, rows):
    """Sum `(batch, heads, count, word_size)` over slots, weighted."""
    return ops.sum(weights[..., None] * rows, axis=2)


def _checked_size(memory_size):
    """Give `memory_size`, unless its slots cannot be numbered exactly."""
    if positive_integer("memory_size", memory_size) > MAX_SLOTS:
        raise ValueError(
            f"Argument `memory_size` must be at most {MAX_SLOTS} (2^24): states are "
            "float32 and slots beyond it are not told apart. "
            f"Received: memory_size={memory_size!r}"
        )
    return int(memory_size)
