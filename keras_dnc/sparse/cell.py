"""Sparse memories as Keras RNN cells (Rae et al. 2016)."""

import keras

from keras_dnc.core.cell import AccessCell
from keras_dnc.sparse.access import LinkedAccess
from keras_dnc.sparse.access import SparseAccess


class SparseCell(AccessCell):
    """Base of the two cells: the arguments they share, and half precision refused."""

    def __init__(
        self,
        output_size,
        controller=100,
        memory_size=1024,
        word_size=32,
        num_reads=4,
        top_k=4,
        search="exact",
        clip_value=20.0,
        strength="softplus",
        **kwargs,
    ):
        super().__init__(output_size, controller, clip_value, **kwargs)
        self.access = self._make_access(
            memory_size=memory_size,
            word_size=word_size,
            num_reads=num_reads,
            top_k=top_k,
            search=search,
            strength=strength,
            dtype=self.dtype_policy,
            name="access",
        )
        self.memory_size = self.access.memory_size
        self.word_size = self.access.word_size
        self.num_reads = self.access.num_reads
        self.top_k = self.access.top_k
        self.strength = strength

    def _make_access(self, **arguments):
        """Give the layer that the controller asks for words."""
        return SparseAccess(**arguments)

    @property
    def edited_states(self):
        """The memory, and what search, links and least recent access remember."""
        return self.access.edited_states

    def get_dropout_mask(self, step_input):
        """Refuse an RNN layer of half precision; make the controller's dropout masks.

        Keras calls this before its loop, with the layer's input.
        """
        dtype = keras.backend.standardize_dtype(step_input.dtype)
        if dtype in ("float16", "bfloat16"):
            raise ValueError(
                "Argument `dtype` of the RNN layer must be 'float32' around this cell: "
                "its states number slots, which half precision rounds, so write "
                "`RNN(cell, dtype='float32')`; the cell's own `dtype` may be a mixed "
                f"policy. Received: a layer that computes in {dtype}"
            )
        super().get_dropout_mask(step_input)

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "num_reads": self.num_reads,
            "top_k": self.top_k,
            "search": keras.saving.serialize_keras_object(self.access.search),
            "strength": self.strength,
        }


@keras.saving.register_keras_serializable(package="keras_dnc")
class SAMCell(SparseCell):
    r"""Sparse Access Memory: reads and writes over a few slots of a large memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{SparseAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    `keras_dnc.MemoryRNN(SAMCell(...))`, compiled by XLA, trains it at a cost per step
    that does not grow with `memory_size`. `keras.layers.RNN(SAMCell(...))` gives the
    same numbers and gradients, and passes over all of the memory at every step of
    back-propagation. The all-zero state is a fresh memory.

    Departures: see `SparseAccess`; controller output, controller state and output are
    clipped (`clip_value=None` switches it off).

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2.
        memory_size: Slots of the memory, at most 2^24.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        top_k: Slots that a head reads.
        search: How to find them: `"exact"` compares a key with all slots, `"lsh"` with
            those that share a hash with it, `LSHSearch(...)` with arguments.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for none.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        **kwargs: `name`, and `dtype`: under a mixed or half-precision policy an LSTM
            made from units follows it and the memory stays in float32. The RNN layer
            around the cell must be float32: states number slots.

    Call arguments:
        inputs: `(batch, features)`.
        states: Flat list of `(batch, size)`; see `unflatten`.
        training: Whether the controller's dropout is on.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new flat list.

    Raises:
        ValueError: A size that is no positive integer, a memory of more than 2^24
            slots, `top_k` above `memory_size`, a controller that is no RNN cell, an
            unknown `search` or `strength`, inputs of the wrong rank, or an RNN layer of
            half precision around the cell.

    Example:
        >>> import keras
        >>> import keras_dnc
        >>> inputs = keras.Input((None, 6))
        >>> cell = keras_dnc.SAMCell(5, controller=64, memory_size=4096, search="lsh")
        >>> outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
        >>> keras.Model(inputs, outputs).output_shape
        (None, None, 5)

    References:
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, NIPS.
    """


@keras.saving.register_keras_serializable(package="keras_dnc")
class SDNCCell(SparseCell):
    r"""Sparse DNC: sparse access, with links to what was written before and after.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{LinkedAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    As `SAMCell`, and each read head may follow the order of writing. As in the paper,
    it has no allocation and free gates: `SAMCell`'s way of writing replaces them.

    Departures: see `LinkedAccess`; controller output, controller state and output are
    clipped (`clip_value=None` switches it off).

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2.
        memory_size: Slots of the memory, at most 2^24.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        top_k: Slots that a head reads.
        search: `"exact"`, `"lsh"`, or a `Search` layer, as in `SAMCell`.
        link_top_k: Links kept per slot and direction.
        **kwargs: `clip_value`, `strength`, `name` and `dtype`, as in `SAMCell`.

    Call arguments:
        inputs: `(batch, features)`.
        states: Flat list of `(batch, size)`; see `unflatten`.
        training: Whether the controller's dropout is on.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new flat list.

    Raises:
        ValueError: As in `SAMCell`, or `link_top_k` is no positive integer.

    Example:
        >>> import keras
        >>> import keras_dnc
        >>> inputs = keras.Input((None, 6))
        >>> cell = keras_dnc.SDNCCell(5, controller=64, memory_size=2048)
        >>> outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
        >>> keras.Model(inputs, outputs).output_shape
        (None, None, 5)

    References:
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, appendix D.
    """

    def __init__(
        self,
        output_size,
        controller=100,
        memory_size=1024,
        word_size=32,
        num_reads=4,
        top_k=4,
        search="exact",
        link_top_k=8,
        **kwargs,
    ):
        self._link_top_k = link_top_k
        super().__init__(
            output_size,
            controller,
            memory_size,
            word_size,
            num_reads,
            top_k,
            search,
            **kwargs,
        )
        self.link_top_k = self.access.link_top_k

    def _make_access(self, **arguments):
        return LinkedAccess(link_top_k=self._link_top_k, **arguments)

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "link_top_k": self.link_top_k}
