"""Sparse memories as Keras RNN cells (Rae et al. 2016)."""

from typing import Any

import keras

from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.precision import full_precision
from keras_dnc.signature import passes_on
from keras_dnc.sparse.access import SparseAccess
from keras_dnc.sparse.linked_access import LinkedAccess
from keras_dnc.sparse.search import Search
from keras_dnc.typing import DType


class SparseCell(AccessCell):
    """Base of the two cells, whose access has a `search`."""

    numbers_slots = True

    @property
    def search(self) -> Search:
        """The `Search` layer."""
        return self.access.search


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(SparseAccess)
class SAMCell(SparseCell):
    r"""Sparse Access Memory: reads and writes over a few slots of a large memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{SparseAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    `keras_dnc.MemoryRNN(SAMCell(..., search="lsh"))`, compiled by XLA, trains it at a
    cost per step that does not grow with `memory_size`; exact search compares all slots
    on the way forward, and only there. `keras.layers.RNN(SAMCell(...))` gives the same
    numbers and gradients, and passes over all of the memory at every step. The all-zero
    state is a fresh memory. A state of one's own must hold the index and the times of
    access that belong to its memory: take it from a run, or start from zeros. Times
    are exact to 2^24 steps of a stateful layer; after these, take a fresh state.

    Departures: see `SparseAccess`; controller output, controller state and output are
    clipped (`clip_value=None` switches it off).

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 100 units.
        memory_size: Slots of the memory. Defaults to 1024.
        word_size: Numbers in a slot. Defaults to 32.
        num_reads: Read heads. Defaults to 4.
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
        ValueError: A size that is no positive integer, a memory of more than 2^24
            slots, `top_k` above `memory_size`, a controller that is no RNN cell, an
            unknown `search` or `strength`, `control_biases` that fit no control, inputs
            of the wrong rank, or an RNN layer of half precision around the cell.

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

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer = 100,
        memory_size: int = 1024,
        word_size: int = 32,
        num_reads: int = 4,
        *,
        clip_value: float | None = 20.0,
        bypass_dropout: float = 0.0,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        access = SparseAccess(
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


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(LinkedAccess)
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
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 100 units.
        memory_size: Slots of the memory. Defaults to 1024.
        word_size: Numbers in a slot. Defaults to 32.
        num_reads: Read heads. Defaults to 4.
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
        output_size: int,
        controller: int | keras.Layer = 100,
        memory_size: int = 1024,
        word_size: int = 32,
        num_reads: int = 4,
        *,
        clip_value: float | None = 20.0,
        bypass_dropout: float = 0.0,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        access = LinkedAccess(
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
