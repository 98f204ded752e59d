"""Writing to a memory, as in every paper since the Neural Turing Machine."""

import functools
import operator

from keras import ops


def erase_and_write(memory, write_weights, erase_vectors, write_vectors):
    """Wipe what each head erases, then add what each head writes.

    Args:
        memory: `(batch, memory_size, word_size)`.
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        erase_vectors: `(batch, num_writes, word_size)`, in [0, 1].
        write_vectors: `(batch, num_writes, word_size)`.

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
