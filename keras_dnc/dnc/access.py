"""The memory of the Differentiable Neural Computer: writing, linking, reading.

Graves et al. 2016, Methods, from "Interface parameters" to "Read vectors". Equation
numbers are those of the list in `keras_dnc.dnc`.
"""

from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import check_at_most
from keras_dnc.arguments import positive_integer_or_none
from keras_dnc.arguments import renamed
from keras_dnc.arguments import switch
from keras_dnc.cells.access import Found
from keras_dnc.dnc.addressing import TemporalLinkage
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.addressing import newest
from keras_dnc.dnc.addressing import sharpen_directions
from keras_dnc.dnc.content_access import ContentAccess
from keras_dnc.dnc.sparse_links import SparseTemporalLinkage
from keras_dnc.dnc.state import AccessControls
from keras_dnc.dnc.state import MemoryAccessState
from keras_dnc.signature import passes_on
from keras_dnc.typing import Fields, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(ContentAccess)
class MemoryAccess(ContentAccess):
    r"""Write heads and read heads over one memory, with links in the order of writing.

    With usage $u_t$ and allocation $a_t$ of `Freeness` (equations 1 to 3), and links
    $L_t$ and precedence $p_t$ of `TemporalLinkage` (equations 6 and 7):

    $$w^w_t = g^w_t (g^a_t a_t + (1 - g^a_t) C(M_{t-1}, k^w_t, \beta^w_t)) \tag{4}$$
    $$M_t = M_{t-1} \circ (1 - w^w_t e_t^\top) + w^w_t v_t^\top \tag{5}$$
    $$f^i_t = L_t w^{r,i}_{t-1}, \quad b^i_t = L_t^\top w^{r,i}_{t-1} \tag{8}$$
    $$w^{r,i}_t = \pi^i_1 b^i_t + \pi^i_2 f^i_t
    + \pi^i_3 C(M_t, k^{r,i}_t, \beta^{r,i}_t) \tag{9}$$
    $$r^i_t = M_t^\top w^{r,i}_t \tag{10}$$

    The option `link_sharpness` replaces $b^i_t$ in equation 9 by $S(b^i_t, s^i_1)$ and
    $f^i_t$ by $S(f^i_t, s^i_2)$; see `sharpen_directions`. The equations of the options
    `masked_content`, `deallocate` and `normalize` are in `ContentAccess`.

    Departures, each of which deepmind/dnc makes:

    - Several write heads, each with links and directions of its own.
    - Read modes in the order backward, forward, content; the paper's order is backward,
      content, forward.
    - Strengths are squashed by softplus; `strength="oneplus"` gives the paper's form.
    - No gradient flows from usage into write weights; `usage_gradient=True` gives the
      paper's form.

    Args:
        link_top_k: Links kept per slot, K of the paper's "Sparse link matrix", in
            O(N K) numbers in place of N x N; `None` for all. The RNN layer around the
            cell must then be float32: links are slot numbers. Defaults to `None`.
        link_sharpness: Whether each read head sharpens its forward and its backward
            weights, each by its own strength (Csordas and Schmidhuber 2019). Defaults
            to `False`.
        {options}

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `MemoryAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `MemoryAccessState`.

    Raises:
        ValueError: If a size or `link_top_k` is not a positive integer, `link_top_k` is
            above `memory_size`, `strength` is unknown, a switch is not a bool,
            `mask_floor` is out of range or given without masks, `control_biases` do not
            fit the controls, or a call argument has the wrong shape.

    Example:
        >>> import numpy as np
        >>> access = MemoryAccess(memory_size=16, word_size=8, num_reads=2)
        >>> state = access.get_initial_state(batch_size=4)
        >>> read_words, state = access(np.ones((4, 32), "float32"), state)
        >>> tuple(read_words.shape), tuple(state.memory.shape)
        ((4, 2, 8), (4, 16, 8))

    References:
        - Graves et al. 2016, Methods, from "Interface parameters" to "Read vectors".
        - Csordas and Schmidhuber 2019, Improving differentiable neural computers
          through memory masking, de-allocation, and link distribution sharpness
          control, sections 3.1 to 3.3.
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.2.
    """

    def __init__(
        self,
        *args: Any,
        link_top_k: int | None = None,
        link_sharpness: bool = False,
        **kwargs: Any,
    ) -> None:
        if "link_sparsity" in kwargs:
            kwargs = renamed(kwargs, "link_sparsity", "link_top_k")
            link_top_k = kwargs.pop("link_top_k")
        # Set before the constructor of the base, whose interface depends on them.
        self.link_top_k = positive_integer_or_none("link_top_k", link_top_k)
        self.link_sharpness = switch("link_sharpness", link_sharpness)
        super().__init__(*args, **kwargs)
        check_at_most("link_top_k", self.link_top_k, "memory_size", self.memory_size)

    def _create_parts(self) -> None:
        """Create the layers of a step."""
        super()._create_parts()
        policy = self.dtype_policy
        self.linkage: TemporalLinkage | SparseTemporalLinkage
        if self.link_top_k is None:
            self.linkage = TemporalLinkage(dtype=policy)
        else:
            self.linkage = SparseTemporalLinkage(self.link_top_k, dtype=policy)

    @property
    def control_shapes(self) -> dict[str, tuple[Shape, str]]:
        """Dict from the names in `AccessControls` to `(shape, activation)`."""
        reads, directions = self.num_reads, 2 * self.num_writes
        shapes = super().control_shapes
        shapes["read_mode"] = ((reads, directions + 1), "softmax")  # pi_t^i
        if self.link_sharpness:
            shapes["link_sharpness"] = ((reads, directions), "linear")  # s_t^i
        return shapes

    @property
    def state_shapes(self) -> MemoryAccessState:
        """`MemoryAccessState` with the shape of one batch element at each leaf."""
        slots, writes = self.memory_size, self.num_writes
        return MemoryAccessState(
            **super().state_shapes._asdict(),
            link=self.linkage.link_shape(writes, slots),
            precedence_weights=(writes, slots),
        )

    def address(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Fields:
        """Find write weights, and the precedence weights that result from them."""
        fields = super().address(controls, state, found)
        precedence = newest(fields["write_weights"], state.precedence_weights)
        return {**fields, "precedence_weights": precedence}  # p_t, eq. 7

    def write(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Fields:
        """Erase and add, and link the slots written to the slots written last."""
        before = TemporalLinkageState(state.link, state.precedence_weights)
        link = self.linkage(found.write_weights, before).link
        return {**super().write(controls, state, found), "link": link}  # L_t, eq. 6

    def attend(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Fields:
        """Find the slots that links lead to and those most similar to the read keys."""
        read_mode: Tensor = controls.read_mode  # pi_t^i
        content = read_mode[:, :, -1:] * self._content_weights(controls, found)
        weights = self._along_links(controls, state, found) + content
        return {"read_weights": weights}  # w_t^{r,i}, eq. 9

    def _along_links(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Tensor:
        """Follow the links from the slots read, `(batch, num_reads, memory_size)`."""
        read_mode: Tensor = controls.read_mode
        read_mode = read_mode[:, :, :-1]  # pi_1, pi_2
        if not self.link_sharpness:
            return self.linkage.follow(found.link, state.read_weights, read_mode)
        forward, backward = self.linkage.directional_read_weights(  # f_t^i, b_t^i
            found.link, state.read_weights
        )
        directions = ops.concatenate([backward, forward], axis=2)
        sharp = sharpen_directions(directions, controls.link_sharpness)
        return ops.sum(ops.expand_dims(read_mode, -1) * sharp, axis=2)
