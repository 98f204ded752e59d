"""The Neural Turing Machine as a Keras RNN cell (Graves et al. 2014)."""

from typing import Any, Self

import keras
from keras import ops

from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.access_cell import CellState
from keras_dnc.cells.access_cell import cell_around
from keras_dnc.cells.access_cell import split_options
from keras_dnc.ntm.access import NTMAccess
from keras_dnc.ntm.access import check_built
from keras_dnc.ntm.addressing import with_first_guards
from keras_dnc.ops.rows import where_active
from keras_dnc.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
@cell_around(NTMAccess)
class NTMCell(AccessCell):
    r"""Neural Turing Machine: a controller that drives the heads of a memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{NTMAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    A sequence starts with every head on slot 0, with the memory that `initial_memory`
    names, and with learned read words. After any step the weights of each head sum to
    1: a batch element whose weights are all zero, as in the all-zero state, has not
    started yet, and `unflatten` fills in its initial values.

    Departures, besides those of `NTMAddressing` and `NTMAccess`:

    - The output is linear; the loss squashes it.
    - Controller output, controller state and output are clipped at 20;
      `clip_value=None` disables clipping. Collier and Beel's program clips the controls
      of the heads, before they are squashed, and the output.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 100 units.
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 20.
        num_reads: Read heads. Defaults to 1.
        num_writes: Write heads. Defaults to 1.
        {options}

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If a size is not a positive integer, `controller` is neither a
            positive integer nor an RNN cell, `shift_range` is not an integer of at
            least 0, `initial_memory` or `strength` is unknown, `cosine_guards` are not
            two positive numbers, `clip_value` or `bypass_dropout` is out of range,
            `control_biases` do not fit the controls, or the inputs have the wrong rank.

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
        **options: Any,
    ) -> None:
        own, options = split_options(options, NTMCell)
        access = NTMAccess(memory_size, word_size, num_reads, num_writes, **options)
        super().__init__(output_size, controller, access, **own)

    def build(self, input_shape: Shape) -> None:
        """Create the weights of the cell, and its initial read words."""
        super().build(input_shape)
        self.fresh_read_words = self.add_weight(
            name="fresh_read_words",
            shape=(self.num_reads, self.word_size),
            initializer="zeros",
            autocast=False,
        )

    def decode(self, state: CellState) -> CellState:
        """Fill in the initial values of batch elements that have not started yet.

        The weights of every head sum to 1 after any step. Where all are zero, the batch
        element gets the initial memory, heads on slot 0, and the learned read words.

        Args:
            state: A `CellState` around an `NTMAccessState`.

        Returns:
            The `CellState` with these values.
        """
        check_built(self)
        heads = [state.access.read_weights, state.access.write_weights]
        is_fresh = ops.all(ops.equal(ops.concatenate(heads, axis=1), 0.0), axis=(1, 2))

        def filled(initial: Tensor, tensor: Tensor) -> Tensor:
            return where_active(is_fresh, initial, tensor)

        words = ops.convert_to_tensor(self.fresh_read_words)[None]
        access = map(filled, self.access.initial_values(), state.access)
        return state._replace(
            read_words=filled(words, state.read_words),
            access=type(state.access)(*access),
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a cell; a config of version 0.1 has the guards of deepmind/dnc."""
        return super().from_config(with_first_guards(config))
