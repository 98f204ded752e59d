"""The DNC's memory without links: usage, allocation, writing, reading by content.

Graves et al. 2016, Methods, "Interface parameters" to "Read vectors", without "Temporal
memory linkage". Franke et al. 2018 call it the content-based memory unit. It has no
N x N links, which are the most expensive part of the DNC; `access.MemoryAccess` adds
them. Equation numbers are those of the list in `keras_dnc.dnc`.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.arguments import switch
from keras_dnc.cells.access import Access
from keras_dnc.cells.access import Found
from keras_dnc.cells.content import CosineWeights
from keras_dnc.dnc.addressing import Freeness
from keras_dnc.dnc.state import AccessControls
from keras_dnc.dnc.state import ContentAccessState
from keras_dnc.ops.writing import erase_and_write
from keras_dnc.typing import DType, Fields, Shape, State, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class ContentAccess(Access):
    r"""Write heads that allocate and free slots, read heads that read by content.

    With usage $u_t$ and allocation $a_t$ of `Freeness` (equations 1 to 3):

    $$w^w_t = g^w_t (g^a_t a_t + (1 - g^a_t) C(M_{t-1}, k^w_t, \beta^w_t)) \tag{4}$$
    $$M_t = M_{t-1} \circ (1 - w^w_t e_t^\top) + w^w_t v_t^\top \tag{5}$$
    $$w^{r,i}_t = C(M_t, k^{r,i}_t, \beta^{r,i}_t) \tag{9}$$
    $$r^i_t = M_t^\top w^{r,i}_t \tag{10}$$

    The options `masked_content`, with $m_0$ for `mask_floor`, `deallocate` and
    `normalize` change these, in this order, to

    $$C(M \circ m, k \circ m, \beta), \quad m = m_0 + (1 - m_0) \sigma(\hat m)$$
    $$M_t = M_{t-1} \circ \psi_t 1^\top \circ (1 - w^w_t e_t^\top) + w^w_t v_t^\top$$
    $$\xi_t = \mathrm{LN}(W_\xi \nu_t + b_\xi)$$

    Departures, each of which deepmind/dnc makes:

    - Several write heads; their erasures are multiplied, their additions summed.
    - Strengths are squashed by softplus; `strength="oneplus"` gives the paper's form.
    - No gradient flows from usage into write weights; `usage_gradient=True` gives the
      paper's form.

    Args:
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 20.
        num_reads: Read heads. Defaults to 1.
        num_writes: Write heads. Defaults to 1.
        strength: `"softplus"` (deepmind/dnc) or `"oneplus"` (the paper), how key
            strengths are squashed. Defaults to `"softplus"`.
        usage_gradient: Whether the gradient of usage flows into the write weights
            (the paper) or not (deepmind/dnc). Defaults to `False`.
        masked_content: Whether each key has a mask, so that a head can search by a part
            of a word (Csordas and Schmidhuber 2019). Defaults to `False`.
        mask_floor: Lower bound of the masks, at least 0 and below 1; needs
            `masked_content`. Defaults to 0.
        deallocate: Whether freeing a slot also erases it (Csordas and Schmidhuber
            2019). Defaults to `False`.
        normalize: Whether the interface is layer-normalised (Franke et al. 2018).
            Defaults to `False`.
        control_biases: Biases of `AccessControls` before training: dict from names of
            controls to numbers; see `Interface`. Defaults to none.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `ContentAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `ContentAccessState`.

    Raises:
        ValueError: If a size is not a positive integer, `strength` is unknown, a switch
            is not a bool, `mask_floor` is out of range or given without masks,
            `control_biases` do not fit the controls, or a call argument has the wrong
            shape.

    Example:
        >>> import numpy as np
        >>> access = ContentAccess(memory_size=16, word_size=8, num_reads=2)
        >>> state = access.get_initial_state(batch_size=4)
        >>> read_words, state = access(np.ones((4, 32), "float32"), state)
        >>> state._fields
        ('memory', 'usage', 'read_weights', 'write_weights')

    References:
        - Graves et al. 2016, Methods, from "Interface parameters" to "Read vectors".
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, sections 3.1 and 3.2.
        - Csordas and Schmidhuber 2019, Improving differentiable neural computers
          through memory masking, de-allocation, and link distribution sharpness
          control, sections 3.1 and 3.2.
    """

    parts = ("free", "address", "write", "attend", "read")
    controls_type = AccessControls

    def __init__(
        self,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        strength: str = "softplus",
        usage_gradient: bool = False,
        masked_content: bool = False,
        mask_floor: float = 0.0,
        deallocate: bool = False,
        normalize: bool = False,
        control_biases: Mapping[str, Any] | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(memory_size, word_size, num_reads, dtype, **kwargs)
        self.num_writes = positive_integer("num_writes", num_writes)
        self.strength = strength
        self.usage_gradient = usage_gradient
        self.masked_content = switch("masked_content", masked_content)
        self.mask_floor = probability("mask_floor", mask_floor)
        if mask_floor and not masked_content:
            raise ValueError(
                "Argument `mask_floor` needs `masked_content=True`. "
                f"Received: mask_floor={mask_floor!r}"
            )
        self.deallocate = switch("deallocate", deallocate)
        self.normalize = switch("normalize", normalize)
        self._create_parts()
        self.create_interface(control_biases, normalize)

    def _create_parts(self) -> None:
        """Create the layers of a step."""
        policy = self.dtype_policy
        self.freeness = Freeness(self.usage_gradient, dtype=policy)
        self.write_content = CosineWeights(self.strength, dtype=policy)
        self.read_content = CosineWeights(self.strength, dtype=policy)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `AccessControls` to `(shape, activation)`."""
        reads, writes, word = self.num_reads, self.num_writes, self.word_size
        shapes: dict[str, tuple[Shape, str]] = {
            "write_vectors": ((writes, word), "linear"),  # v_t
            "erase_vectors": ((writes, word), "sigmoid"),  # e_t
            "free_gate": ((reads,), "sigmoid"),  # f_t^i
            "allocation_gate": ((writes,), "sigmoid"),  # g_t^a
            "write_gate": ((writes,), "sigmoid"),  # g_t^w
            "write_keys": ((writes, word), "linear"),  # k_t^w
            "write_strengths": ((writes,), "linear"),  # beta_t^w
            "read_keys": ((reads, word), "linear"),  # k_t^{r,i}
            "read_strengths": ((reads,), "linear"),  # beta_t^{r,i}
        }
        if self.masked_content:
            shapes["write_masks"] = ((writes, word), "sigmoid")  # m_t^w
            shapes["read_masks"] = ((reads, word), "sigmoid")  # m_t^{r,i}
        return shapes

    @property
    def state_shapes(self) -> State:
        """`ContentAccessState` with the shape of one batch element at each leaf."""
        slots = self.memory_size
        return ContentAccessState(
            memory=(slots, self.word_size),
            usage=(slots,),
            read_weights=(self.num_reads, slots),
            write_weights=(self.num_writes, slots),
        )

    def controls(self, inputs: Tensor) -> AccessControls:
        """Return the `AccessControls`, with masks of at least `mask_floor`."""
        controls = super().controls(inputs)
        if not self.mask_floor:
            return controls
        return controls._replace(
            write_masks=self._above_floor(controls.write_masks),
            read_masks=self._above_floor(controls.read_masks),
        )

    def _above_floor(self, masks: Tensor) -> Tensor:
        """Scale masks from [0, 1] to [`mask_floor`, 1]."""
        return self.mask_floor + (1.0 - self.mask_floor) * masks

    def free(self, controls: AccessControls, state: State, found: Found) -> Fields:
        """Add the slots written to usage, and subtract the slots read and freed."""
        usage = self.freeness(
            state.write_weights, controls.free_gate, state.read_weights, state.usage
        )
        return {"usage": usage}  # u_t, eq. 1 and 2

    def address(self, controls: AccessControls, state: State, found: Found) -> Fields:
        """Mix free slots and slots of similar content into write weights."""
        allocation = self.freeness.allocation_weights(  # a_t, eq. 3
            found.usage, controls.allocation_gate * controls.write_gate
        )
        content = self.write_content(  # c_t^w
            state.memory,
            controls.write_keys,
            controls.write_strengths,
            controls.write_masks,
        )
        allocation_gate = ops.expand_dims(controls.allocation_gate, -1)  # g_t^a
        write_gate = ops.expand_dims(controls.write_gate, -1)  # g_t^w
        mixed = allocation_gate * allocation + (1.0 - allocation_gate) * content
        return {"write_weights": write_gate * mixed}  # w_t^w, eq. 4

    def write(self, controls: AccessControls, state: State, found: Found) -> Fields:
        """Erase and add; with `deallocate`, erase the slots that are freed before."""
        memory = state.memory
        if self.deallocate:
            retention = self.freeness.retention(controls.free_gate, state.read_weights)
            memory = memory * ops.expand_dims(retention, -1)  # M_{t-1} o psi_t
        memory = erase_and_write(
            memory, found.write_weights, controls.erase_vectors, controls.write_vectors
        )
        return {"memory": memory}  # M_t, eq. 5

    def attend(self, controls: AccessControls, state: State, found: Found) -> Fields:
        """Find the slots most similar to the read keys."""
        return {"read_weights": self._content_weights(controls, found)}  # w_t^{r,i}

    def read(self, controls: AccessControls, state: State, found: Found) -> Fields:
        """Read the words, `(batch, num_reads, word_size)`."""
        return {"read_words": ops.matmul(found.read_weights, found.memory)}  # eq. 10

    def _content_weights(self, controls: AccessControls, found: Found) -> Tensor:
        """Compare keys and slots, `(batch, num_reads, memory_size)`, rows sum to 1."""
        return self.read_content(  # c_t^{r,i}
            found.memory,
            controls.read_keys,
            controls.read_strengths,
            controls.read_masks,
        )
