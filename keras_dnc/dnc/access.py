"""One step of writing to and reading from the memory of the DNC.

Graves et al. 2016, Methods, from "Interface parameters" to "Read vectors".
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.cells.access import Access
from keras_dnc.cells.content import CosineWeights
from keras_dnc.cells.memory_cell import leaf_names
from keras_dnc.cells.memory_cell import recall
from keras_dnc.dnc.access_state import NO_CONTROLS
from keras_dnc.dnc.access_state import NOTHING_RECORDED
from keras_dnc.dnc.access_state import AccessNotes
from keras_dnc.dnc.access_state import MemoryAccessState
from keras_dnc.dnc.addressing import Freeness
from keras_dnc.dnc.addressing import TemporalLinkage
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.addressing import sharpened
from keras_dnc.dnc.sparse_links import SparseTemporalLinkage
from keras_dnc.ops.writing import erase_and_write


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemoryAccess(Access):
    r"""Write heads and read heads over one memory.

    $$w^w = g^w (g^a a + (1 - g^a) C(M_{t-1}, k^w, \beta^w))$$
    $$M_t = M_{t-1} \circ (1 - w^w e^\top) + w^w v^\top$$
    $$w^{r,i} = \pi^i_1 b^i + \pi^i_2 f^i + \pi^i_3 C(M_t, k^{r,i}, \beta^{r,i})$$
    $$r^i = M_t^\top w^{r,i}$$

    and, where the options say so,

    $$C(M \circ m, k \circ m, \beta), \quad m = m_0 + (1 - m_0) \sigma(\hat m)
    \quad \text{(masked content)}$$
    $$M_t = M_{t-1} \circ \psi 1^\top \circ (1 - w^w e^\top) + w^w v^\top
    \quad \text{(deallocate)}$$
    $$w^{r,i} = \pi^i_1 S(b^i, s^i_1) + \pi^i_2 S(f^i, s^i_2) + \dots
    \quad \text{(link sharpness)}$$
    $$\xi_t = \mathrm{LN}(W_\xi \nu_t + b_\xi) \quad \text{(normalize)}$$

    Departures, all as in deepmind/dnc: several write heads; read modes in the order
    backward, forward, content; strengths squashed by softplus and no gradient from
    usage into write weights, each with an argument for the paper's form.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        num_writes: Write heads.
        strength: `"softplus"` (deepmind/dnc) or `"oneplus"` (the paper).
        usage_gradient: Whether the gradient of usage flows into the write weights
            (the paper) or not (deepmind/dnc).
        link_sparsity: Links kept per slot, K; `None` for all. See
            `SparseTemporalLinkage`.
        masked_content: Whether keys come with masks, so that a head can look for a
            part of a word (Csordas and Schmidhuber 2019).
        mask_floor: The least that a mask lets through, at least 0 and below 1.
        deallocate: Whether a slot that is freed is wiped too (the same).
        link_sharpness: Whether each read head sharpens what it reads along links, each
            direction by its own strength (the same).
        normalize: Whether the interface is layer-normalised (Franke et al. 2018).
        control_biases: Where `AccessControls` start before training: dict from their
            names to numbers, as in `Interface`.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `MemoryAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `MemoryAccessState`.

    Raises:
        ValueError: A size that is no positive integer, an unknown `strength`, a
            `mask_floor` without masks or outside of its range, `control_biases` that
            fit no control, or a call argument of the wrong shape.

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

    options = (
        "memory_size",
        "word_size",
        "num_reads",
        "num_writes",
        "strength",
        "usage_gradient",
        "link_sparsity",
        "masked_content",
        "mask_floor",
        "deallocate",
        "link_sharpness",
        "normalize",
    )

    def __init__(
        self,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        strength: str = "softplus",
        usage_gradient: bool = False,
        link_sparsity: int | None = None,
        masked_content: bool = False,
        mask_floor: float = 0.0,
        deallocate: bool = False,
        link_sharpness: bool = False,
        normalize: bool = False,
        control_biases: Mapping[str, Any] | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(memory_size, word_size, num_reads, dtype, **kwargs)
        self.num_writes = positive_integer("num_writes", num_writes)
        self.strength = strength
        self.usage_gradient = usage_gradient
        if link_sparsity is not None:
            link_sparsity = positive_integer("link_sparsity", link_sparsity)
        self.link_sparsity = link_sparsity
        for name, option in (
            ("masked_content", masked_content),
            ("deallocate", deallocate),
            ("link_sharpness", link_sharpness),
            ("normalize", normalize),
        ):
            check_choice(name, option, (False, True))
        self.masked_content = masked_content
        self.mask_floor = probability("mask_floor", mask_floor)
        if mask_floor and not masked_content:
            raise ValueError(
                "Argument `mask_floor` needs `masked_content=True`. "
                f"Received: mask_floor={mask_floor!r}"
            )
        self.deallocate = deallocate
        self.link_sharpness = link_sharpness
        self.normalize = normalize
        self._create_parts()
        self._create_interface(control_biases, normalize)

    def _create_parts(self):
        policy = self.dtype_policy
        self.freeness = Freeness(self.usage_gradient, dtype=policy)
        self._create_linkage()
        self.write_content = CosineWeights(self.strength, dtype=policy)
        self.read_content = CosineWeights(self.strength, dtype=policy)

    def _create_linkage(self):
        policy = self.dtype_policy
        if self.link_sparsity is None:
            self.linkage = TemporalLinkage(dtype=policy)
        else:
            self.linkage = SparseTemporalLinkage(self.link_sparsity, dtype=policy)

    def _control_shapes(self):
        reads, writes, word = self.num_reads, self.num_writes, self.word_size
        shapes = NO_CONTROLS._replace(
            write_vectors=((writes, word), "linear"),
            erase_vectors=((writes, word), "sigmoid"),
            free_gate=((reads,), "sigmoid"),
            allocation_gate=((writes,), "sigmoid"),
            write_gate=((writes,), "sigmoid"),
            read_mode=((reads, 2 * writes + 1), "softmax"),
            write_keys=((writes, word), "linear"),
            write_strengths=((writes,), "linear"),
            read_keys=((reads, word), "linear"),
            read_strengths=((reads,), "linear"),
        )
        if self.masked_content:
            shapes = shapes._replace(
                write_masks=((writes, word), "sigmoid"),
                read_masks=((reads, word), "sigmoid"),
            )
        if self.link_sharpness:
            sharpness = ((reads, 2 * writes), "linear")
            shapes = shapes._replace(link_sharpness=sharpness)
        return shapes._asdict()

    @property
    def state_shapes(self):
        """`MemoryAccessState` with the shape of one sample at each leaf."""
        slots, reads, writes = self.memory_size, self.num_reads, self.num_writes
        return MemoryAccessState(
            memory=(slots, self.word_size),
            usage=(slots,),
            link=self.linkage.link_shape(writes, slots),
            precedence_weights=(writes, slots),
            read_weights=(reads, slots),
            write_weights=(writes, slots),
        )

    @property
    def note_shapes(self):
        """`AccessNotes` with the shape of one sample at each leaf."""
        words = (self.num_writes, self.word_size)
        products = (self.num_writes, self.memory_size)
        return AccessNotes(words, words, (self.num_reads,), products)

    @property
    def replayed_states(self):
        """Names of the states that are larger than all others together."""
        return ("memory", *leaf_names(self.state_shapes.link, "link"))

    def controls(self, inputs):
        """Give the `AccessControls` that the controller's output stands for."""
        controls = NO_CONTROLS._replace(**self.interface(inputs))
        if not self.mask_floor:
            return controls
        return controls._replace(
            write_masks=self._above_floor(controls.write_masks),
            read_masks=self._above_floor(controls.read_masks),
        )

    def _above_floor(self, masks):
        return self.mask_floor + (1.0 - self.mask_floor) * masks

    def step(self, controls, state, recorded=None):
        """Update usage, write, link, read.

        Args:
            controls: `AccessControls`.
            state: The previous `MemoryAccessState`.
            recorded: `(state, notes)` of the same step when it was taken before, for
                back-propagation to take over, or `None`: the cell's state, what is
                `None` in it is computed again, and `AccessNotes`.

        Returns:
            `(read_words, state, notes)`: as `call`, and `AccessNotes`.
        """
        before, noted = NOTHING_RECORDED, None
        if recorded is not None:
            before, noted = recorded[0].access, recorded[1]
        usage = recall(before.usage, self._usage(controls, state))
        write_weights, products = self._write_weights(controls, state, usage, noted)
        write_weights = recall(before.write_weights, write_weights)
        memory = self._memory(state, write_weights, controls)
        read_weights, links = self._read_weights(controls, state, memory, write_weights)
        read_weights = recall(before.read_weights, read_weights)
        state = type(self.state_shapes)(
            memory=memory,
            usage=usage,
            read_weights=read_weights,
            write_weights=write_weights,
            **links,
        )
        notes = AccessNotes(
            controls.erase_vectors, controls.write_vectors, controls.free_gate, products
        )
        return ops.matmul(read_weights, memory), state, notes

    def _usage(self, controls, state):
        """Give the new usage, `(batch, slots)`."""
        return self.freeness(
            state.write_weights, controls.free_gate, state.read_weights, state.usage
        )

    def _write_weights(self, controls, state, usage, noted):
        """Mix free slots and slots of like content; give the free list's products too.

        Both are `(batch, writes, slots)`.
        """
        content = self.write_content(
            state.memory,
            controls.write_keys,
            controls.write_strengths,
            controls.write_masks,
        )
        allocation, products = self.freeness.allocate(
            usage,
            controls.allocation_gate * controls.write_gate,
            recorded=noted and noted.products,
        )
        allocation_gate = ops.expand_dims(controls.allocation_gate, -1)
        write_gate = ops.expand_dims(controls.write_gate, -1)
        mixed = allocation_gate * allocation + (1.0 - allocation_gate) * content
        return write_gate * mixed, products

    def _memory(self, state, write_weights, controls):
        """Give the new memory; `controls` may be the `AccessNotes` of the step."""
        memory = state.memory
        if self.deallocate:
            kept = self.freeness.retention(controls.free_gate, state.read_weights)
            memory = memory * ops.expand_dims(kept, -1)
        return erase_and_write(
            memory, write_weights, controls.erase_vectors, controls.write_vectors
        )

    def _read_weights(self, controls, state, memory, write_weights):
        """Mix links and content; give the new links by their names in the state too."""
        linkage, along_links = self._along_links(controls, state, write_weights)
        by_content = ops.expand_dims(controls.read_mode[:, :, -1], -1)
        content = self._read_content(controls, memory)
        return along_links + by_content * content, linkage._asdict()

    def _read_content(self, controls, memory):
        """Look for the read keys, `(batch, reads, slots)`."""
        return self.read_content(
            memory, controls.read_keys, controls.read_strengths, controls.read_masks
        )

    def _along_links(self, controls, state, write_weights):
        """Give the new links, and the read modes that follow them."""
        links = TemporalLinkageState(state.link, state.precedence_weights)
        read_mode = controls.read_mode[:, :, :-1]
        if not self.link_sharpness:
            return self.linkage.read_along(
                write_weights, links, state.read_weights, read_mode
            )
        links, weights = self.linkage.read_directions(
            write_weights, links, state.read_weights
        )
        sharp = sharpened(weights, controls.link_sharpness)
        return links, ops.sum(ops.expand_dims(read_mode, -1) * sharp, axis=2)

    def replay(self, state, write_weights, notes):
        """Give the new memory and links of a step that was taken before.

        Args:
            state: The `MemoryAccessState` before the step.
            write_weights: `(batch, num_writes, memory_size)` of the step.
            notes: Its `AccessNotes`.
        """
        memory = self._memory(state, write_weights, notes)
        linkage = TemporalLinkageState(state.link, state.precedence_weights)
        return [memory, *tree.flatten(self.linkage(write_weights, linkage).link)]
