"""MemoryRNN: `keras.layers.RNN` with memory-efficient back-propagation through time."""

import math
import numbers
import warnings
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import in_symbolic_scope
from keras_dnc.bptt.checkpointing import Checkpointed
from keras_dnc.bptt.checkpointing import CheckpointedMemory
from keras_dnc.bptt.pure_cell import PureCell
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.scan import Chunks
from keras_dnc.bptt.scan import Policy
from keras_dnc.bptt.scan import scan
from keras_dnc.bptt.touched_rows import TouchedRows
from keras_dnc.cells.access import Access
from keras_dnc.cells.controllers import unstacked
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.cells.precision import check_not_half_precision
from keras_dnc.cells.row_access import RowAccess

_LARGE = 16_384  # slots of a memory whose copy takes longer than the rest of a step


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemoryRNN(keras.layers.RNN):
    """`keras.layers.RNN` with memory-efficient back-propagation through time.

    A drop-in: the same arguments, numbers and weights. What differs:

    - Back-propagation stores the large states, such as memory and links, once per chunk
      of steps and recomputes the others, so that the number of large states in memory
      grows like the square root of time. A cell's states keep their real shapes from
      step to step, which XLA turns into faster code.
    - Of a sparse memory (`SAMCell`, `SDNCCell`) no step copies more than the rows that
      it touches, forward or backward, where XLA compiles it. Outside XLA, TensorFlow
      and PyTorch copy the memory at every step; above 16,384 slots, a warning says so.
      With `recompute=0` or `unroll=True`, back-propagation copies it everywhere.
    - A cell that updates variables of its own in its steps is refused, unless
      `recompute=0`: a step that is taken twice would update them twice.
    - At masked steps before the first real one, the output is the cell's previous
      output, `states[0]`, on every backend; `keras.layers.RNN` gives zeros on
      TensorFlow and PyTorch.
    - Given a sequence of length 0, it says what is wrong, where `keras.layers.RNN`
      fails with an error of the backend.
    - Given a list of memory cells under a mixed policy, it leaves their states in
      float32, where `keras.layers.RNN` casts them to half precision and fails.

    Args:
        cell: A cell of this package, any Keras RNN cell, or a list of cells.
        recompute: Steps per chunk, any positive integer. `None` takes about the square
            root of the number of steps; 0 leaves back-propagation to the backend, as
            `keras.layers.RNN` does. With `unroll=True` it has no effect. Around a
            sparse memory, of which nothing is recomputed, `None` or 0.
        **kwargs: As in `keras.layers.RNN`.

    Call arguments:
        sequences: `(batch, time, features)`, time at least 1.
        initial_state: List of states, as in `keras.layers.RNN`.
        mask: `(batch, time)`, as in `keras.layers.RNN`.
        training: Whether dropout is on.

    Raises:
        ValueError: `recompute` is neither `None` nor an integer of at least 0, or is
            above 0 around a sparse memory; a stack with a sparse memory in it; half
            precision around a cell whose states number slots; sequences of another
            rank, or of length 0; a cell that updates variables in its steps.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(5, controller=64, memory_size=16)
        >>> MemoryRNN(cell, return_sequences=True)(keras.Input((None, 6))).shape
        (None, None, 5)

    References:
        - Chen et al. 2016, Training deep nets with sublinear memory cost.
        - Gruslys et al. 2016, Memory-efficient backpropagation through time.
    """

    def __init__(
        self, cell: keras.Layer | list, recompute: int | None = None, **kwargs: Any
    ) -> None:
        if isinstance(cell, list | tuple) and any(_is_memory(child) for child in cell):
            policy = next(child.dtype_policy for child in cell if _is_memory(child))
            cell = keras.layers.StackedRNNCells(cell, dtype=policy)
        super().__init__(cell, **kwargs)
        self.recompute = _steps_per_chunk(recompute)
        self._check_in_place()

    def _check_in_place(self):
        """Refuse what cells that edit their memory in place cannot be run with."""
        stacked = isinstance(self.cell, keras.layers.StackedRNNCells)
        if stacked and any(_edits_in_place(cell) for cell in unstacked(self.cell)):
            raise ValueError(
                "Argument `cell` must not stack cells that edit their memory in place: "
                "stack layers, `MemoryRNN(a, return_sequences=True)` and then "
                f"`MemoryRNN(b)`. Received: cell={self.cell!r}"
            )
        if _edits_in_place(self.cell) and self.recompute:
            raise ValueError(
                "Argument `recompute` must be None or 0 around a cell that edits its "
                "memory in place: nothing is recomputed. "
                f"Received: recompute={self.recompute!r}, cell={self.cell!r}"
            )

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """Run the cell over the sequences."""
        shape = tuple(sequences.shape)
        if len(shape) != 3 or shape[1] == 0:
            raise ValueError(
                "Argument `sequences` must have shape (batch, time, features), time at "
                f"least 1. Received: sequences of shape {shape}"
            )
        return super().call(
            sequences, initial_state=initial_state, mask=mask, training=training
        )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Run the cell step by step; `keras.layers.RNN` does what is around it."""
        for cell in unstacked(self.cell):
            if _is_memory(cell) and cell.numbers_slots:
                check_not_half_precision(self.compute_dtype)
        if _edits_in_place(self.cell):
            self._warn_of_copies()
        is_layer = isinstance(self.cell, keras.layers.Layer)
        if self.recompute == 0 or self.unroll or not is_layer:
            return super().inner_loop(sequences, initial_state, mask, training)
        sequences = ops.cast(sequences, self.cell.compute_dtype)
        inputs, mask = self._in_time(sequences), self._in_time(mask)
        if self.stateful:  # PyTorch's states are overwritten before back-propagation
            initial_state = tree.map_structure(ops.copy, initial_state)
        cell, policy = self._policy(initial_state, training)
        sequence = cell.sequence(inputs, mask)
        state = policy.first_state(ops.shape(sequences)[0])
        chunks = self._chunks(inputs)
        outputs, state = scan(policy, sequence, state, chunks, save=bool(training))
        last_output = state[0]
        if mask is not None and self.zero_output_for_mask:
            outputs = ops.where(sequence.mask[0][:, :, None], outputs, 0.0)
            last_output = outputs[-1]
        outputs = ops.swapaxes(outputs, 0, 1)
        return last_output, outputs, cell.at_the_border(state)

    def _policy(self, states: Any, training: bool) -> tuple[PureCell, Policy]:
        """Return the cell as a pure function, and how to differentiate its steps."""
        if not isinstance(self.cell, MemoryCell):
            cell = PureCell(self.cell, states, training)
            return cell, Checkpointed(cell)
        memory = PureMemoryCell(self.cell, states, training)
        access = getattr(self.cell, "access", None)
        if isinstance(access, RowAccess):
            return memory, TouchedRows(memory)
        if isinstance(access, Access):
            return memory, CheckpointedMemory(memory)
        return memory, Checkpointed(memory)

    def _warn_of_copies(self):
        """Say that a large memory will be copied, where the backend copies it."""
        slots = self.cell.memory_size
        if slots <= _LARGE or in_symbolic_scope() or backend.is_compiled():
            return
        warnings.warn(
            f"Layer {self.name!r} copies its memory of {slots} slots at every step, as "
            "XLA does not compile it: on TensorFlow, compile the model with "
            "`jit_compile=True`; JAX always is; PyTorch has no such compiler here.",
            stacklevel=2,
        )

    def _in_time(self, tensor):
        """Put time first, in the order in which the steps are taken."""
        if tensor is None:
            return None
        tensor = ops.swapaxes(tensor, 0, 1)
        return ops.flip(tensor, axis=0) if self.go_backwards else tensor

    def _chunks(self, inputs):
        """Cut the steps into chunks; the number of steps may be a tensor."""
        time = inputs.shape[0]
        if time is None:
            time = ops.shape(inputs)[0]
            root = ops.ceil(ops.sqrt(ops.cast(time, "float32")))
            size = ops.minimum(self.recompute or ops.cast(root, "int32"), time)
        else:
            size = min(self.recompute or math.ceil(math.sqrt(time)), time)
        return Chunks(time, time if _edits_in_place(self.cell) else size)

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "recompute": self.recompute}


def _is_memory(cell):
    return isinstance(cell, MemoryCell)


def _edits_in_place(cell: keras.Layer) -> bool:
    return isinstance(getattr(cell, "access", None), RowAccess)


def _steps_per_chunk(recompute):
    """Give `recompute` as it is, `None` or an `int`; raise where it is neither."""
    if recompute is None:
        return None
    try:
        is_zero = isinstance(recompute, numbers.Integral) and recompute == 0
        is_zero = is_zero and not isinstance(recompute, bool)
        return 0 if is_zero else positive_integer("recompute", recompute)
    except ValueError:
        raise ValueError(
            "Argument `recompute` must be None, 0 or a positive integer. "
            f"Received: recompute={recompute!r}"
        ) from None
