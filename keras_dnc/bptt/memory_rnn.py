"""MemoryRNN: `keras.layers.RNN` with memory-efficient back-propagation through time."""

import math
import numbers
import warnings
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import in_symbolic_scope
from keras_dnc.bptt.checkpointing import Checkpointed
from keras_dnc.bptt.checkpointing import CheckpointedMemory
from keras_dnc.bptt.policy import Policy
from keras_dnc.bptt.pure_cell import PureCell
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.scan import Chunks
from keras_dnc.bptt.scan import scan
from keras_dnc.bptt.touched_rows import TouchedRows
from keras_dnc.cells.access import Access
from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.controllers import unstacked
from keras_dnc.cells.memory_cell import HOW_TO_FLATTEN
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.cells.memory_cell import warn_of_plain_graph
from keras_dnc.cells.precision import check_not_half_precision
from keras_dnc.cells.precision import full_precision
from keras_dnc.cells.row_access import RowAccess
from keras_dnc.typing import Shape, Tensor, Tensors

_MANY_SLOTS = 16_384  # above, copying the memory takes longer than the rest of a step
_FEW_NUMBERS = 2**28  # in float32, 1 GiB


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemoryRNN(keras.layers.RNN):
    """`keras.layers.RNN` with memory-efficient back-propagation through time.

    Arguments, values and weights are those of `keras.layers.RNN`, with these
    differences:

    - Back-propagation saves the large states, such as memory and links, once per chunk
      of steps and recomputes the others, so that the number of large states in memory
      grows with the square root of time. States keep their real shapes from step to
      step, which XLA compiles to faster code.
    - If XLA compiles the layer, a step of a sparse memory (`SAMCell`, `SDNCCell`)
      copies only the rows that it reads and writes, forward and backward. Without XLA,
      TensorFlow and PyTorch copy the memory at every step; above 16,384 slots, the
      layer warns of it. With `recompute=0` or `unroll=True`, back-propagation copies
      the memory at every step on all backends.
    - A cell that updates its own variables in its steps raises an error unless
      `recompute=0`: a step that is taken twice would update them twice.
    - Masked steps before the first real one return the output stored in the initial
      state, on every backend. `keras.layers.RNN` returns zeros on TensorFlow and
      PyTorch. If all steps of an `NTMCell` are masked, its initial values are returned
      as states; `keras.layers.RNN` returns zeros. Both are valid initial states.
    - A sequence of length 0 raises a `ValueError`. `keras.layers.RNN` fails with an
      error of the backend.
    - On PyTorch, a step of a dense memory is recorded after about a hundred calls with
      one batch size. From then on, the recorded operations run, in about a fifth of the
      time. Python code in a step, such as `print` or a call of `random`, does not run
      again. With `jit_compile=True`, `torch.compile` compiles the recorded steps, in
      10 to 30 seconds; it would unroll `keras.layers.RNN` and compile every step, for
      minutes.
    - The states of a list of memory cells stay in float32 under a mixed policy.
      `keras.layers.RNN` casts them to half precision and fails.
    - Around a cell whose states contain indices of slots, such as `SAMCell`, the layer
      computes in float32 even under a global policy of half precision, which would
      round the indices. `keras.layers.RNN` needs `dtype="float32"`.
    - Inputs at masked steps have no effect on gradients, even if they are NaN.

    Args:
        cell: A cell of this package, any Keras RNN cell, or a list of cells.
        recompute: Steps per chunk, a positive integer; `None` for about the square root
            of the number of steps; 0 to leave back-propagation to the backend, like
            `keras.layers.RNN`. On PyTorch, `None` saves the states of all steps and
            recomputes none if they take at most 1 GiB in float32. It has no effect with
            `unroll=True`. Around a sparse memory, of which nothing is recomputed, it
            must be `None` or 0. Defaults to `None`.
        **kwargs: The other arguments of `keras.layers.RNN`, such as `return_sequences`,
            `return_state`, `go_backwards`, `stateful` and `unroll`.

    Call arguments:
        sequences: `(batch, time, features)`, time at least 1.
        initial_state: List of the states before the first step, `(batch, size)`; a dict
            of some of them by name (see `cell.start_from`); or `None` for the initial
            states of the cell. Defaults to `None`.
        mask: Booleans `(batch, time)`, false at steps to skip; `None` for no mask.
            Defaults to `None`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        The last output, `(batch, output_size)`; with `return_sequences=True`, all
        outputs, `(batch, time, output_size)`. With `return_state=True`, a list of the
        output and of each last state.

    Raises:
        ValueError: If `cell` is a layer that runs a cell, such as `keras.layers.LSTM`;
            if `recompute` is neither `None` nor an integer of at least 0, or is
            above 0 around a sparse memory; if a stack contains a sparse memory; if a
            cell with a sparse memory overrides `step`; if the layer computes in half
            precision around a cell whose states contain indices of slots; if sequences
            are ragged, or have another rank or length 0; if mask or states have another
            batch size, or the mask another time; or if a cell updates variables in its
            steps.

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
        self,
        cell: keras.Layer | list[keras.Layer],
        recompute: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, list | tuple) and any(_is_memory(child) for child in cell):
            policy = next(child.dtype_policy for child in cell if _is_memory(child))
            cell = keras.layers.StackedRNNCells(cell, dtype=policy)
        if kwargs.get("dtype") is None and _numbers_slots(cell):
            kwargs["dtype"] = full_precision(None)
        super().__init__(cell, **kwargs)
        self.recompute = _steps_per_chunk(recompute)
        self._check_cells()
        self._check_in_place()

    def _check_cells(self) -> None:
        """Raise a `ValueError` if a layer that runs a cell is passed as a cell."""
        for cell in unstacked(self.cell):
            if isinstance(cell, keras.layers.RNN) or not hasattr(cell, "state_size"):
                raise ValueError(
                    "Argument `cell` must be an RNN cell, such as "
                    "`keras.layers.LSTMCell(8)`, not a layer that runs one, such as "
                    f"`keras.layers.LSTM(8)`. Received: cell={cell!r}"
                )

    def _check_in_place(self) -> None:
        """Raise a `ValueError` if the arguments do not allow a sparse memory."""
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
        if _edits_in_place(self.cell) and self.recompute is None:
            _check_step(self.cell)

    def build(self, sequences_shape: Shape, initial_state_shape: Any = None) -> None:
        """Build the cell.

        Args:
            sequences_shape: `(batch, time, features)`.
            initial_state_shape: Not used.

        Raises:
            ValueError: If the sequences have another rank, or length 0.
        """
        check_sequences(sequences_shape)
        super().build(sequences_shape)

    @backend.not_compiled
    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        """Run the cell over the sequences."""
        if hasattr(sequences, "ragged_rank"):
            raise ValueError(
                "Argument `sequences` must not be ragged: pass `sequences.to_tensor()` "
                "with a mask, or through `keras.layers.Masking`. "
                f"Received: sequences={sequences!r}"
            )
        check_sequences(sequences.shape)
        initial_state = self._listed(initial_state)
        batch, time = _legend(sequences.shape[:2], ("batch", "time"))
        for part in tree.flatten(mask):  # Keras passes one mask, or a list of it
            if part is not None:
                check_shape("mask", part.shape, (batch, time), ", (batch, time)")
        for part in tree.flatten(initial_state):
            if part is not None:
                check_shape(
                    "initial_state", part.shape, (batch, "size"), HOW_TO_FLATTEN
                )
        sequences = _without_padding(sequences, mask)
        return super().call(
            sequences, initial_state=initial_state, mask=mask, training=training
        )

    def _listed(self, initial_state: Any) -> Any:
        """Complete a dict of states to the list that `keras.layers.RNN` takes."""
        if not isinstance(initial_state, Mapping):
            return initial_state
        if not isinstance(self.cell, MemoryCell):
            raise ValueError(
                "Argument `initial_state` must be a list unless the cell is a memory "
                f"cell, whose states have names. Received: a dict, cell={self.cell!r}"
            )
        return self.cell.start_from(initial_state)

    def inner_loop(
        self,
        sequences: Tensor,
        initial_state: Any,
        mask: Tensor | None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, Any]:
        """Run the cell step by step; `keras.layers.RNN` calls this in its `call`.

        Args:
            sequences: `(batch, time, features)`.
            initial_state: The states before the first step.
            mask: Booleans `(batch, time)`, or `None`.
            training: Whether dropout is on. Defaults to `False`.

        Returns:
            `(last_output, outputs, states)`: `(batch, output_size)`,
            `(batch, time, output_size)` and the last states.
        """
        if _numbers_slots(self.cell):
            check_not_half_precision(self.compute_dtype)
        if _edits_in_place(self.cell):
            self._warn_of_copies()
        is_layer = isinstance(self.cell, keras.layers.Layer)
        # JAX exports a free time as a symbol, which cannot be divided into chunks.
        is_symbol = not isinstance(sequences.shape[1], int | None)
        if self.recompute == 0 or self.unroll or is_symbol or not is_layer:
            return super().inner_loop(sequences, initial_state, mask, training)
        return self._scan(sequences, initial_state, mask, training)

    def _scan(
        self,
        sequences: Tensor,
        initial_state: Any,
        mask: Tensor | None,
        training: bool,
    ) -> tuple[Tensor, Tensor, Any]:
        """Run the loop of this package; arguments and result are of `inner_loop`."""
        warn_of_plain_graph(training)
        sequences = ops.cast(sequences, self.cell.compute_dtype)
        inputs, mask = self._in_time(sequences), self._in_time(mask)
        if self.stateful:  # PyTorch's states are overwritten before back-propagation
            initial_state = tree.map_structure(ops.copy, initial_state)
        cell, policy = self._policy(initial_state, training, inputs)
        sequence = cell.sequence(inputs, mask)
        state = policy.first_state(ops.shape(sequences)[0])
        chunks = self._chunks(inputs, policy.large(state))
        outputs, state = scan(policy, sequence, state, chunks, save=bool(training))
        last_output = state[0]
        if mask is not None and self.zero_output_for_mask:
            outputs = ops.where(sequence.mask[0][:, :, None], outputs, 0.0)
            last_output = outputs[-1]
        outputs = ops.swapaxes(outputs, 0, 1)
        return last_output, outputs, cell.rnn_states(state)

    def _policy(
        self, states: Any, training: bool, inputs: Tensor
    ) -> tuple[PureCell, Policy]:
        """Return the cell as a pure function, and the policy of its steps."""
        if not isinstance(self.cell, MemoryCell):
            cell = PureCell(self.cell, states, training)
            return cell, Checkpointed(cell)
        memory = PureMemoryCell(self.cell, states, training)
        access = getattr(self.cell, "access", None)
        if isinstance(access, RowAccess):
            return memory, TouchedRows(memory)
        if isinstance(access, Access):
            return memory, CheckpointedMemory(memory, self._keeps_all(inputs))
        return memory, Checkpointed(memory)

    def _keeps_all(self, inputs: Tensor) -> bool:
        """Return whether the states of all steps are saved, rather than recomputed."""
        if self.recompute is not None or not backend.is_eager():
            return False
        time, batch = inputs.shape[:2]
        numbers = sum(math.prod(shape) for shape in self.cell.flat_state_shapes)
        return time * batch * numbers <= _FEW_NUMBERS

    def _warn_of_copies(self) -> None:
        """Warn if the backend will copy a large memory at every step."""
        slots = self.cell.memory_size
        if slots <= _MANY_SLOTS or in_symbolic_scope() or backend.is_compiled():
            return
        warnings.warn(
            f"Layer {self.name!r} copies its memory of {slots} slots at every step, "
            "because XLA does not compile it. On TensorFlow, compile the model with "
            "`jit_compile=True`. JAX always compiles with XLA; PyTorch cannot.",
            stacklevel=2,
        )

    def _in_time(self, tensor: Tensor | None) -> Tensor | None:
        """Transpose to time first, in the order in which the steps are taken."""
        if tensor is None:
            return None
        # Not `ops.swapaxes`, which does not take a `tf.Variable`.
        tensor = ops.transpose(tensor, (1, 0, *range(2, len(tensor.shape))))
        return ops.flip(tensor, axis=0) if self.go_backwards else tensor

    def _chunks(self, inputs: Tensor, large: Tensors) -> Chunks:
        """Divide the steps into chunks; the number of steps may be a tensor.

        Args:
            inputs: `(time, batch, features)`.
            large: The large tensors of a state.
        """
        time = inputs.shape[0]
        is_known = time is not None
        time = time if is_known else ops.shape(inputs)[0]
        if not large:  # there is nothing to recompute
            return Chunks(time, time)
        if is_known:
            return Chunks(time, min(self.recompute or math.ceil(math.sqrt(time)), time))
        root = ops.ceil(ops.sqrt(ops.cast(time, "float32")))
        return Chunks(
            time, ops.minimum(self.recompute or ops.cast(root, "int32"), time)
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "recompute": self.recompute}


def check_sequences(shape: Shape) -> None:
    """Raise an error unless a shape is that of sequences of at least one step.

    Args:
        shape: Shape of the sequences; unknown axes are `None`.

    Raises:
        ValueError: If the rank is not 3, or the time is 0.

    Example:
        >>> check_sequences((None, None, 5))
    """
    shape = tuple(shape)
    if len(shape) != 3 or shape[1] == 0:
        raise ValueError(
            "Argument `sequences` must have shape (batch, time, features), time at "
            "least 1: `x[:, None]` is one step, `x[..., None]` one feature, and an "
            "`Embedding` layer makes features of tokens. Received: sequences of shape "
            f"{shape}"
        )


def _legend(sizes: Shape, names: tuple[str, ...]) -> tuple[int | str, ...]:
    """Return sizes for `check_shape`, a name in place of each that is not known."""
    return tuple(
        name if size is None else size for size, name in zip(sizes, names, strict=True)
    )


def _without_padding(sequences: Tensor, mask: Any) -> Tensor:
    """Return sequences with zeros at masked steps, where NaN would reach gradients."""
    for part in tree.flatten(mask):
        if part is not None:
            real = ops.expand_dims(ops.cast(part, "bool"), -1)
            sequences = ops.where(real, sequences, ops.zeros_like(sequences))
    return sequences


def _is_memory(cell: keras.Layer) -> bool:
    """Return whether a cell is a `MemoryCell`."""
    return isinstance(cell, MemoryCell)


def _numbers_slots(cell: keras.layers.Layer) -> bool:
    """Return whether a cell or a stack has states that contain indices of slots."""
    return any(_is_memory(one) and one.numbers_slots for one in unstacked(cell))


def _edits_in_place(cell: keras.Layer) -> bool:
    """Return whether a cell has a sparse memory, which is updated in place."""
    return isinstance(getattr(cell, "access", None), RowAccess)


def _check_step(cell: keras.Layer) -> None:
    """Raise a `ValueError` unless the step of a sparse cell is that of `step_with`."""
    if getattr(type(cell), "step", None) is not AccessCell.step:
        raise ValueError(
            "Argument `cell` must be an `AccessCell` that does not override `step`, "
            "because its memory is edited in place: override `step_with`, or pass "
            f"`recompute=0`. Received: cell={cell!r}"
        )


def _steps_per_chunk(recompute: Any) -> int | None:
    """Check `recompute`, and return it as `None` or an `int`."""
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
