"""A DNC's memory without temporal links: what is read is found by content alone.

Franke et al. 2018 call it the content-based memory unit. It allocates and frees slots
as `access.MemoryAccess` does, and saves what costs the DNC most: N x N links.
"""

from typing import Any
from typing import NamedTuple

import keras

from keras_dnc.dnc.access import MemoryAccess


class ContentAccessState(NamedTuple):
    """The memory and all that addressing remembers of it.

    Attributes:
        memory: `(batch, memory_size, word_size)`.
        usage: `(batch, memory_size)`, in [0, 1].
        read_weights: `(batch, num_reads, memory_size)`, rows sum to 1.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """

    memory: Any
    usage: Any
    read_weights: Any
    write_weights: Any


@keras.saving.register_keras_serializable(package="keras_dnc")
class ContentAccess(MemoryAccess):
    r"""Write heads and read heads over one memory, without links and read modes.

    $$w^{r,i} = C(M_t, k^{r,i}, \beta^{r,i})$$

    and all else as in `MemoryAccess`.

    Args:
        memory_size: Slots of the memory.
        word_size: Numbers in a slot.
        num_reads: Read heads.
        num_writes: Write heads.
        **kwargs: As in `MemoryAccess`, but for `link_sparsity` and `link_sharpness`:
            there are no links.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.
        state: The previous `ContentAccessState`.

    Returns:
        `(read_words, state)`: `(batch, num_reads, word_size)` and the new
        `ContentAccessState`.

    Raises:
        ValueError: As in `MemoryAccess`, and where an option of links is given.

    Example:
        >>> import numpy as np
        >>> access = ContentAccess(memory_size=16, word_size=8, num_reads=2)
        >>> state = access.get_initial_state(batch_size=4)
        >>> read_words, state = access(np.ones((4, 32), "float32"), state)
        >>> state._fields
        ('memory', 'usage', 'read_weights', 'write_weights')

    References:
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.1.
    """

    replayed_states = ("memory",)

    def __init__(
        self,
        memory_size: int = 128,
        word_size: int = 20,
        num_reads: int = 1,
        num_writes: int = 1,
        **kwargs: Any,
    ) -> None:
        for name in ("link_sparsity", "link_sharpness"):
            if kwargs.get(name) not in (None, False):
                raise ValueError(
                    f"Argument `{name}` needs temporal links. "
                    f"Received: {name}={kwargs[name]!r}"
                )
        super().__init__(memory_size, word_size, num_reads, num_writes, **kwargs)

    def _create_linkage(self):
        """Create none."""

    def _control_shapes(self):
        shapes = super()._control_shapes()
        del shapes["read_mode"]
        return shapes

    @property
    def state_shapes(self):
        """`ContentAccessState` with the shape of one sample at each leaf."""
        slots = self.memory_size
        return ContentAccessState(
            memory=(slots, self.word_size),
            usage=(slots,),
            read_weights=(self.num_reads, slots),
            write_weights=(self.num_writes, slots),
        )

    def _read_weights(self, controls, state, memory, write_weights):
        return self._read_content(controls, memory), {}

    def replay(self, state, write_weights, notes):
        """Give the new memory of a step that was taken before.

        Args:
            state: The `ContentAccessState` before the step.
            write_weights: `(batch, num_writes, memory_size)` of the step.
            notes: Its `AccessNotes`.
        """
        return [self._memory(state, write_weights, notes)]
