"""The memory of the Differentiable Neural Computer: writing, linking, reading.

Graves et al. 2016, Methods, from "Interface parameters" to "Read vectors".
"""

from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import positive_integer_or_none
from keras_dnc.arguments import renamed
from keras_dnc.cells.access import Found
from keras_dnc.dnc.addressing import TemporalLinkage
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.addressing import newest
from keras_dnc.dnc.addressing import sharpen_directions
from keras_dnc.dnc.content_access import ContentAccess
from keras_dnc.dnc.content_access import check_switch
from keras_dnc.dnc.sparse_links import SparseTemporalLinkage
from keras_dnc.dnc.state import AccessControls
from keras_dnc.dnc.state import MemoryAccessState
from keras_dnc.signature import passes_on
from keras_dnc.typing import Fields
from keras_dnc.typing import Shape
from keras_dnc.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
@passes_on(ContentAccess)
class MemoryAccess(ContentAccess):
    r"""Write heads and read heads over one memory, with links in the order of writing.

    Usage, allocation and writing are those of `ContentAccess`:

    $$w^w_t = g^w (g^a a_t + (1 - g^a) C(M_{t-1}, k^w, \beta^w)), \quad
    M_t = M_{t-1} \circ (1 - w^w_t e^\top) + w^w_t v^\top$$

    and the read heads also follow the links $L_t$ of `TemporalLinkage`:

    $$f^i_t = L_t w^{r,i}_{t-1}, \quad b^i_t = L_t^\top w^{r,i}_{t-1}$$
    $$w^{r,i}_t = \pi^i_1 b^i_t + \pi^i_2 f^i_t + \pi^i_3 C(M_t, k^{r,i}, \beta^{r,i}),
    \quad r^i_t = M_t^\top w^{r,i}_t$$

    and, with `link_sharpness`,

    $$w^{r,i}_t = \pi^i_1 S(b^i_t, s^i_1) + \pi^i_2 S(f^i_t, s^i_2) + \dots$$

    Departures, all as in deepmind/dnc: several write heads; read modes in the order
    backward, forward, content; strengths squashed by softplus and no gradient from
    usage into write weights, each with an argument for the paper's form.

    Args:
        link_top_k: Links kept per slot, K of the paper's "Sparse link matrix", in
            O(N K) numbers in place of N x N; `None` for all. The RNN layer around the
            cell must then be float32: links are slot numbers. Defaults to `None`.
        link_sharpness: Whether each read head sharpens what it reads along links, each
            direction by its own strength (Csordas and Schmidhuber 2019). Defaults to
            `False`.
        {options}

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `MemoryAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `MemoryAccessState`.

    Raises:
        ValueError: A size that is no positive integer, an unknown `strength`, a switch
            that is no bool, a `mask_floor` without masks or outside of its range,
            `control_biases` that fit no control, or a call argument of the wrong shape.

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
        *args: int,
        link_top_k: int | None = None,
        link_sharpness: bool = False,
        **kwargs: Any,
    ) -> None:
        if "link_sparsity" in kwargs:
            kwargs = renamed(kwargs, "link_sparsity", "link_top_k")
            link_top_k = kwargs.pop("link_top_k")
        # Before the base's constructor, whose interface depends on them.
        self.link_top_k = positive_integer_or_none("link_top_k", link_top_k)
        self.link_sharpness = check_switch("link_sharpness", link_sharpness)
        super().__init__(*args, **kwargs)

    def _create_parts(self) -> None:
        super()._create_parts()
        policy = self.dtype_policy
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
        """Find write weights, and how far each slot is now the last one written."""
        fields = super().address(controls, state, found)
        precedence = newest(fields["write_weights"], state.precedence_weights)
        return {**fields, "precedence_weights": precedence}  # p_t

    def write(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Fields:
        """Erase and add, and link what is written to what was written last."""
        before = TemporalLinkageState(state.link, state.precedence_weights)
        link = self.linkage(found.write_weights, before).link
        return {**super().write(controls, state, found), "link": link}  # L_t

    def read(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Fields:
        """Mix what links lead to and what is similar to the keys."""
        by_content = ops.expand_dims(controls.read_mode[:, :, -1], -1)
        content = by_content * self._content_weights(controls, found)
        weights = self._along_links(controls, state, found) + content
        return self._read_words(weights, found)

    def _along_links(
        self, controls: AccessControls, state: MemoryAccessState, found: Found
    ) -> Tensor:
        """Follow the links from what was read, `(batch, num_reads, memory_size)`."""
        read_mode = controls.read_mode[:, :, :-1]
        if not self.link_sharpness:
            return self.linkage.follow(found.link, state.read_weights, read_mode)
        forward, backward = self.linkage.directional_read_weights(
            found.link, state.read_weights
        )
        directions = ops.concatenate([backward, forward], axis=2)
        sharp = sharpen_directions(directions, controls.link_sharpness)
        return ops.sum(ops.expand_dims(read_mode, -1) * sharp, axis=2)
