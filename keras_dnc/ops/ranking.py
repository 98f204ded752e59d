"""The largest values of a tensor, equal ones in the order of their indices."""

from collections.abc import Callable

from keras import ops

from keras_dnc import backend
from keras_dnc.backend import shards
from keras_dnc.typing import Tensor, Tensors

# Beyond every value that is ranked: excludes one as infinity would, and passes
# `tf.debugging.enable_check_numerics`.
BEYOND = 3e38
_BLOCK = 512  # scores per block: shorter and longer blocks are slower

stable_top_k = backend.stable_top_k


def best_slots(
    score: Callable[[Tensors, Tensor], Tensor],
    tables: Tensors,
    keys: Tensor,
    count: int,
) -> Tensor:
    """Return the slots with the largest scores, of equal scores the first.

    If the tables are distributed over devices, each device finds its own best slots,
    and these are compared.

    Args:
        score: Function of `tables` and `keys` to the scores `(batch, heads, size)`, the
            score of a slot a function of its row alone.
        tables: List of tables `(batch, size, ...)`.
        keys: `(batch, heads, word_size)`.
        count: Number of slots to find.

    Returns:
        `(batch, heads, count)`, whole numbers, in falling order of their scores.
    """
    where = shards.distributed(tables[0].shape[1])
    if where is None:
        return largest(score(tables, keys), count)

    def find(tables: Tensors, keys: Tensor) -> tuple[Tensor, Tensor]:
        scores = score(tables, keys)
        slots = largest(scores, min(count, scores.shape[-1]))
        return ops.take_along_axis(scores, slots, axis=2), slots

    scores, slots = shards.best_slots(where, find, tables, keys)
    return ops.take_along_axis(slots, stable_top_k(scores, count)[1], axis=2)


def largest(scores: Tensor, count: int, block: int = _BLOCK) -> Tensor:
    """Return the indices of the largest scores, of equal scores the first.

    The search proceeds by blocks: the K largest scores are in the K blocks with the
    largest maxima.

    Args:
        scores: `(batch, heads, memory_size)`.
        count: Number of scores to find, K.
        block: Scores per block. Defaults to 512.

    Returns:
        `(batch, heads, count)`, whole numbers, in falling order of their scores.
    """
    heads, size = scores.shape[1:]
    blocks = -(-size // block)
    if blocks <= 2 * count:
        return stable_top_k(scores, count)[1]
    scores = ops.pad(
        scores, [(0, 0), (0, 0), (0, blocks * block - size)], constant_values=-BEYOND
    )
    scores = ops.reshape(scores, (-1, heads, blocks, block))
    best = stable_top_k(ops.max(scores, axis=-1), count)[1]
    best = ops.sort(best, axis=-1)  # keeps ties in the order of slots
    inside = ops.take_along_axis(scores, best[..., None], axis=2)
    place = stable_top_k(ops.reshape(inside, (-1, heads, count * block)), count)[1]
    return ops.take_along_axis(best, place // block, axis=2) * block + place % block
