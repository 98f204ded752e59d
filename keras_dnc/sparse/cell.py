"""SAM and SDNC as Keras RNN cells (Rae et al. 2016)."""

from typing import Any, Self

import keras

from keras_dnc.arguments import capped
from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.access_cell import cell_around
from keras_dnc.cells.access_cell import split_options
from keras_dnc.sparse.access import SparseAccess
from keras_dnc.sparse.linked_access import LinkedAccess
from keras_dnc.sparse.search import Search


class SparseCell(AccessCell):
    """Base of the cells with a sparse memory."""

    numbers_slots = True

    @property
    def search(self) -> Search:
        """The `Search` layer of the memory."""
        return self.access.search


@keras.saving.register_keras_serializable(package="keras_dnc")
@cell_around(SparseAccess)
class SAMCell(SparseCell):
    r"""Sparse Access Memory: reads and writes over a few slots of a large memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{SparseAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    The cost of a training step of `keras_dnc.MemoryRNN(SAMCell(..., search="lsh"))`,
    compiled by XLA, does not grow with `memory_size`. Exact search compares all slots,
    in the forward pass only. `keras.layers.RNN(SAMCell(...))` computes equal outputs
    and gradients, but passes over all of the memory at every step.

    The all-zero state is a fresh memory. An initial state must include the index and
    the times of access that belong to its memory: use the final state of another run,
    or zeros. A stateful layer may run for any number of steps, at most 2^23 of them in
    one call. After 2^23 steps, slots not accessed in the last 2^22 may count as never
    accessed.

    Departures, besides those of `SparseAccess`: controller output, controller state and
    output are clipped; `clip_value=None` disables clipping.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 100 units.
        memory_size: Slots of the memory. Defaults to 1024.
        word_size: Numbers in a slot. Defaults to 32.
        num_reads: Read heads. Defaults to 4.
        {options}

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If a size is not a positive integer, `memory_size` is above 2^24,
            `top_k` is above `memory_size`, `controller` is neither a positive integer
            nor an RNN cell, `search` or `strength` is unknown, `clip_value` or
            `bypass_dropout` is out of range, `control_biases` do not fit the controls,
            the inputs have the wrong rank, or the RNN layer around the cell is of half
            precision.

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
        **options: Any,
    ) -> None:
        own, options = split_options(options, SAMCell)
        access = SparseAccess(memory_size, word_size, num_reads, **options)
        super().__init__(output_size, controller, access, **own)


@keras.saving.register_keras_serializable(package="keras_dnc")
@cell_around(LinkedAccess)
class SDNCCell(SparseCell):
    r"""Sparse DNC: sparse access with links in the order of writing.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{LinkedAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    Each read head may also follow links to the slots written before and after those
    that it read. There are no allocation and free gates, as in the paper: a step writes
    to the slots read in the previous step and to the slot accessed least recently.

    The cost of a training step of `keras_dnc.MemoryRNN(SDNCCell(..., search="lsh"))`,
    compiled by XLA, does not grow with `memory_size`. Exact search compares all slots,
    in the forward pass only. `keras.layers.RNN(SDNCCell(...))` computes equal outputs
    and gradients, but passes over all of the memory at every step.

    The all-zero state is a fresh memory. An initial state must have the index, the
    times of access and the links of its memory: use the final state of another run, or
    zeros. A stateful layer may run for any number of steps, at most 2^23 of them in one
    call. After 2^23 steps, slots not accessed in the last 2^22 may count as never
    accessed.

    Departures, besides those of `LinkedAccess`: controller output, controller state and
    output are clipped; `clip_value=None` disables clipping.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 100 units.
        memory_size: Slots of the memory. Defaults to 1024.
        word_size: Numbers in a slot. Defaults to 32.
        num_reads: Read heads. Defaults to 4.
        {options}

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If a size or `link_top_k` is not a positive integer, `memory_size`
            is above 2^24, `top_k` or `link_top_k` is above `memory_size`, `controller`
            is neither a positive integer nor an RNN cell, `search` or `strength` is
            unknown, `clip_value` or `bypass_dropout` is out of range, `control_biases`
            do not fit the controls, the inputs have the wrong rank, or the RNN layer
            around the cell is of half precision.

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
        **options: Any,
    ) -> None:
        own, options = split_options(options, SDNCCell)
        access = LinkedAccess(memory_size, word_size, num_reads, **options)
        super().__init__(output_size, controller, access, **own)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a cell; a memory smaller than `link_top_k` keeps all its links."""
        return super().from_config(capped(config, "link_top_k", "memory_size"))
