"""Writing to a memory by erasing and adding (Graves et al. 2014, eq. 3-4)."""

import functools
import operator

from keras import ops

from keras_dnc.typing import Tensor


def erase_and_write(
    memory: Tensor, write_weights: Tensor, erase_vectors: Tensor, write_vectors: Tensor
) -> Tensor:
    """Erase parts of the memory, then add to it, with one or more write heads.

    Args:
        memory: `(batch, memory_size, word_size)`.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1], fraction to erase.
        write_vectors: `(batch, num_writes, word_size)`, numbers to add.

    Returns:
        The new memory, `(batch, memory_size, word_size)`.
    """
    kept = functools.reduce(
        operator.mul,
        (
            1.0 - ops.expand_dims(weights, 2) * ops.expand_dims(erase, 1)
            for weights, erase in zip(
                ops.unstack(write_weights, axis=1),
                ops.unstack(erase_vectors, axis=1),
                strict=True,
            )
        ),
    )
    added = ops.matmul(ops.transpose(write_weights, (0, 2, 1)), write_vectors)
    return memory * kept + added
