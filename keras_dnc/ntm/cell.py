"""The Neural Turing Machine as a Keras RNN cell (Graves et al. 2014)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.ntm.access import NTMAccess
from keras_dnc.ntm.access import check_built


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
        control_biases: Where `NTMControls` start before training: dict from their names
            to numbers, as in `Interface`. Strengths of 5 and interpolation
            gates of 2 make heads look for content from the first step on.
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
            `initial_memory` or `strength`, `control_biases` that fit no control, or
            inputs of the wrong rank.

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
        control_biases: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(output_size, controller, clip_value, **kwargs)
        self._take(
            NTMAccess(
                memory_size=memory_size,
                word_size=word_size,
                num_reads=num_reads,
                num_writes=num_writes,
                shift_range=shift_range,
                initial_memory=initial_memory,
                strength=strength,
                control_biases=control_biases,
                dtype=self.dtype_policy,
                name="access",
            )
        )

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
        check_built(self)
        words = ops.convert_to_tensor(self.fresh_read_words)
        return {"read_words": words[None], **self.access.fresh_state._asdict()}
