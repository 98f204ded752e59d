"""The Differentiable Neural Computer as a Keras RNN cell (Graves et al. 2016)."""

import keras

from keras_dnc.core.arguments import positive_integer
from keras_dnc.core.cell import AccessCell
from keras_dnc.core.cell import CellState
from keras_dnc.core.state import leaf_names
from keras_dnc.dnc.access import MemoryAccess

DNCState = CellState  # its `access` is a `MemoryAccessState`


@keras.saving.register_keras_serializable(package="keras_dnc")
class DNCCell(AccessCell):
    r"""Differentiable Neural Computer: a controller beside an external memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{MemoryAccess}(\nu_t)$$
    $$y_t = W [\nu_t; r^1_t; \dots; r^R_t]$$

    With the same weights, outputs, states and gradients equal those of deepmind/dnc.
    The all-zero state is a fresh memory.

    Departures, all as in deepmind/dnc: key strengths by softplus (`strength="oneplus"`
    gives the paper's); no gradient from usage into write weights
    (`usage_gradient=True`); several write heads; read modes ordered backward, forward,
    content; controller output, controller state and output clipped
    (`clip_value=None` switches it off); forget-gate bias 1 in the LSTM.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        num_writes: Write heads.
        clip_value: Bound on the magnitude of controller output, controller state and
            output; `None` for none.
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        usage_gradient: Whether the gradient of usage flows into the write weights.
        link_sparsity: Links kept per slot, K, as in the paper's "Sparse link matrix",
            in O(N K) numbers in place of N x N; `None` for all. The RNN layer around
            the cell must then be float32: links number slots.
        **kwargs: `name`, and `dtype`: under a mixed or half-precision policy an LSTM
            made from units follows it and the memory stays in float32; a controller
            that is passed has a policy of its own.

    Call arguments:
        inputs: `(batch, features)`.
        states: Flat list of `(batch, size)`; see `unflatten`.
        training: Whether the controller's dropout is on.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new flat list.

    Raises:
        ValueError: A size that is no positive integer, a controller that is no RNN
            cell, an unknown `strength`, or inputs of the wrong rank.

    Example:
        >>> import keras
        >>> import keras_dnc
        >>> inputs = keras.Input((None, 6))
        >>> cell = keras_dnc.DNCCell(5, controller=64, memory_size=16, word_size=16)
        >>> outputs = keras.layers.RNN(cell, return_sequences=True)(inputs)
        >>> model = keras.Model(inputs, outputs)
        >>> model.output_shape
        (None, None, 5)

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Nature 538.
    """

    def __init__(
        self,
        output_size,
        controller=256,
        memory_size=128,
        word_size=20,
        num_reads=1,
        num_writes=1,
        clip_value=20.0,
        strength="softplus",
        usage_gradient=False,
        link_sparsity=None,
        **kwargs,
    ):
        super().__init__(output_size, controller, clip_value, **kwargs)
        self.memory_size = positive_integer("memory_size", memory_size)
        self.word_size = positive_integer("word_size", word_size)
        self.num_reads = positive_integer("num_reads", num_reads)
        self.num_writes = positive_integer("num_writes", num_writes)
        self.strength = strength
        self.usage_gradient = usage_gradient
        self.link_sparsity = link_sparsity
        self.access = MemoryAccess(
            memory_size=memory_size,
            word_size=word_size,
            num_reads=num_reads,
            num_writes=num_writes,
            strength=strength,
            usage_gradient=usage_gradient,
            link_sparsity=link_sparsity,
            dtype=self.dtype_policy,
            name="memory_access",
        )

    @property
    def numbers_slots(self):
        """With `link_sparsity`, links are lists of slots."""
        return self.link_sparsity is not None

    @property
    def replayed_states(self):
        """Those that are larger than all others together."""
        return ["memory", *leaf_names(self.access.state_shapes.link, "link")]

    def replay(self, state, recorded):
        """Write and link again where the step has written and linked."""
        write_weights = recorded.state.access.write_weights
        return self.access.replay(state.access, write_weights, recorded.notes)

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "memory_size": self.memory_size,
            "word_size": self.word_size,
            "num_reads": self.num_reads,
            "num_writes": self.num_writes,
            "strength": self.strength,
            "usage_gradient": self.usage_gradient,
            "link_sparsity": self.link_sparsity,
        }
