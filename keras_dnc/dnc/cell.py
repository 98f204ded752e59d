"""The Differentiable Neural Computer as a Keras RNN cell (Graves et al. 2016)."""

from typing import Any, Self

import keras

from keras_dnc.arguments import capped
from keras_dnc.arguments import renamed
from keras_dnc.arguments import switch
from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.access_cell import CellState
from keras_dnc.cells.access_cell import cell_around
from keras_dnc.cells.access_cell import split_options
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import NormalizedLSTMCell
from keras_dnc.dnc.access import MemoryAccess
from keras_dnc.dnc.content_access import ContentAccess

DNCState = CellState  # its `access` is a `MemoryAccessState` or `ContentAccessState`


@keras.saving.register_keras_serializable(package="keras_dnc")
@cell_around(MemoryAccess)
class DNCCell(AccessCell):
    r"""Differentiable Neural Computer: a controller that drives an external memory.

    $$\nu_t = \mathrm{controller}([x_t; r^1_{t-1}; \dots; r^R_{t-1}])$$
    $$r_t = \mathrm{MemoryAccess}(\nu_t)$$
    $$y_t = W [d \circ \nu_t; r^1_t; \dots; r^R_t]$$

    with d = 1 except in training with `bypass_dropout`: each number of d is then 0 with
    that probability, and 1 divided by the complementary probability otherwise. The
    equations of the memory are in `MemoryAccess`, those of its options there and in
    `ContentAccess`, and those of a layer-normalised controller in `NormalizedLSTMCell`.

    Given the same weights, the outputs, states and gradients equal those of
    deepmind/dnc. The all-zero state is a fresh memory.

    Departures, all but the last of which deepmind/dnc also makes:

    - Key strengths are squashed by softplus; `strength="oneplus"` gives the paper's
      form.
    - No gradient flows from usage into write weights; `usage_gradient=True` gives the
      paper's form.
    - Several write heads; read modes in the order backward, forward, content.
    - Controller output, controller state and output are clipped; `clip_value=None`
      disables clipping.
    - The bias of the LSTM's forget gate starts at 1.
    - `bypass_dropout` uses one mask for a whole sequence, where Franke et al. draw one
      per step: back-propagation that recomputes a step needs the mask again.

    Args:
        output_size: Numbers in the output.
        controller: LSTM units, or any RNN cell whose states are rank 2: an
            `LSTMCell`, a `GRUCell`, `StackedRNNCells`, a `FeedForwardController`.
            Defaults to 256 units.
        memory_size: Slots of the memory. Defaults to 128.
        word_size: Numbers in a slot. Defaults to 20.
        num_reads: Read heads. Defaults to 1.
        num_writes: Write heads. Defaults to 1.
        temporal_links: Whether the memory has links. Without them, heads read by
            content alone (Franke et al. 2018, "content-based memory unit"). Defaults to
            `True`.
        {options}

    Call arguments:
        inputs: `(batch, features)`.
        states: List of `(batch, size)`, one entry per number in `state_size`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(output, states)`: `(batch, output_size)` and the new list.

    Raises:
        ValueError: If a size or `link_top_k` is not a positive integer, `link_top_k` is
            above `memory_size`, `controller` is neither a positive integer nor an RNN
            cell, `strength` is unknown, a switch is not a bool, `clip_value`,
            `bypass_dropout` or `mask_floor` is out of range, `mask_floor` is given
            without masks or an option of links without links, `control_biases` do not
            fit the controls, or the inputs have the wrong rank.

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
        - Csordas and Schmidhuber 2019, Improving differentiable neural computers
          through memory masking, de-allocation, and link distribution sharpness
          control, ICLR.
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, MRQA.
    """

    def __init__(
        self,
        output_size: int,
        controller: int | keras.Layer = 256,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        *,
        temporal_links: bool = True,
        **options: Any,
    ) -> None:
        temporal_links = switch("temporal_links", temporal_links)
        options = renamed(options, "link_sparsity", "link_top_k")
        own, options = split_options(options, DNCCell)
        lstm = NormalizedLSTMCell if options.get("normalize") else FusedLSTMCell
        kind = MemoryAccess if temporal_links else ContentAccess
        options = options if temporal_links else _without_links(options)
        options["name"] = "memory_access"
        access = kind(memory_size, word_size, num_reads, num_writes, **options)
        super().__init__(output_size, controller, access, lstm=lstm, **own)
        self.temporal_links = temporal_links

    @property
    def numbers_slots(self) -> bool:
        """Whether links are lists of slots, as they are with `link_top_k`."""
        return self.temporal_links and self.access.link_top_k is not None

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "temporal_links": self.temporal_links}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a cell; the config may be of version 0.1, or of a resized memory."""
        return super().from_config(links_of(config))


def links_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with a valid `link_top_k`.

    Args:
        config: Arguments of a `DNCCell`, perhaps with `link_sparsity`, a deprecated
            name, or with more links per slot than slots.

    Returns:
        Dict of the arguments.
    """
    config = renamed(config, "link_sparsity", "link_top_k", warn=False)
    return capped(config, "link_top_k", "memory_size")


def _without_links(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of links, or raise a `ValueError` if one of them is set."""
    options = dict(options)
    for name in ("link_top_k", "link_sharpness"):
        value = options.pop(name, None)
        if value not in (None, False):
            raise ValueError(
                f"Argument `{name}` needs temporal links. Received: {name}={value!r}"
            )
    return options
