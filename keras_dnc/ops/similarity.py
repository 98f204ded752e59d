"""Similarity of keys and rows of memory, with hand-written gradients.

All papers since the Neural Turing Machine (Graves et al. 2014) read by similarity.
"""

import functools
from typing import NamedTuple

from keras import ops

from keras_dnc import backend
from keras_dnc.typing import Tensor, Tensors


class Guards(NamedTuple):
    """Numbers that keep a cosine finite at rows and keys near zero.

    Attributes:
        norm: Added to the sum of squares of a row or a key, under the root. If it is
            below 1e-6, the gradient with respect to a vector is multiplied by its
            squared norm / 1e-6 where that is below 1. The exact gradient is the inverse
            of the norm: with rows that have been erased, it overflows in training.
        quotient: Added to the product of the two norms.
    """

    norm: float
    quotient: float


_FADING = 1e-6  # squared norm; at a smaller one the gradient is at most 1000, as with
DEEPMIND_GUARDS = Guards(1e-6, 1e-6)  # these, of deepmind/dnc


def oneplus(x: Tensor) -> Tensor:
    """Compute `1 + log(1 + exp(x))`, which is above 1 (Graves et al. 2016).

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the same shape.
    """
    return 1.0 + ops.softplus(x)


STRENGTHS = {"softplus": ops.softplus, "oneplus": oneplus}


def weighted_softmax(scores: Tensor, strengths: Tensor) -> Tensor:
    """Compute a softmax over slots, with one inverse temperature per head.

    Args:
        scores: `(batch, heads, memory_size)`.
        strengths: `(batch, heads)`, at least 0.

    Returns:
        `(batch, heads, memory_size)`, rows sum to 1.
    """
    return ops.softmax(scores * ops.expand_dims(strengths, -1), axis=-1)


def cosine_similarity(
    memory: Tensor, keys: Tensor, guards: Guards = DEEPMIND_GUARDS
) -> Tensor:
    """Compute the cosine similarity of each key and each row of memory.

    The reference for `fast_cosine_similarity`: its gradient is left to the backend.

    Args:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.
        guards: Keep the result finite. Defaults to those of deepmind/dnc.

    Returns:
        `(batch, heads, memory_size)`, in [-1, 1]; 0 at a zero row or a zero key.
    """
    memory, keys = _fading(memory, guards), _fading(keys, guards)
    dot = ops.matmul(keys, ops.transpose(memory, (0, 2, 1)))
    memory_norms = ops.transpose(_norm(memory, guards), (0, 2, 1))
    return dot / (_norm(keys, guards) * memory_norms + guards.quotient)


def fast_cosine_similarity(
    memory: Tensor, keys: Tensor, guards: Guards = DEEPMIND_GUARDS
) -> Tensor:
    """Compute the cosine similarity of each key and each row of memory.

    The hand-written gradient allocates one array of the size of the memory, automatic
    differentiation four.

    Args:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.
        guards: Keep the result finite. Defaults to those of deepmind/dnc.

    Returns:
        `(batch, heads, memory_size)`, in [-1, 1]; 0 at a zero row or a zero key.
    """
    similarity = backend.with_gradient(
        functools.partial(_similarity, guards),
        functools.partial(_similarity_gradient, guards),
    )
    return similarity([memory, keys])[0]


def _similarity(
    guards: Guards, tensors: Tensors, save: bool
) -> tuple[Tensors, tuple[Tensor, Tensor, Tensor]]:
    """Compute the similarity; save both norms and the cosine, slots first."""
    memory, keys = tensors
    memory_norms = _norm(memory, guards)
    key_norms = ops.transpose(_norm(keys, guards), (0, 2, 1))
    # Memory first: XLA is several times as fast at this product as at its transpose.
    dot = ops.matmul(memory, ops.transpose(keys, (0, 2, 1)))
    cosine = dot / (memory_norms * key_norms + guards.quotient)
    return [ops.transpose(cosine, (0, 2, 1))], (memory_norms, key_norms, cosine)


def _similarity_gradient(
    guards: Guards,
    tensors: Tensors,
    saved: tuple[Tensor, Tensor, Tensor],
    gradients: Tensors,
) -> Tensors:
    """Return the gradients with respect to memory and keys."""
    memory, keys = tensors
    memory_norms, key_norms, cosine = saved
    gradient = ops.transpose(gradients[0], (0, 2, 1))
    by_dot = gradient / (memory_norms * key_norms + guards.quotient)
    by_norms = by_dot * cosine
    by_memory_norm = ops.sum(by_norms * key_norms, axis=2, keepdims=True)
    by_key_norm = ops.sum(by_norms * memory_norms, axis=1, keepdims=True)
    by_key_norm = ops.transpose(by_key_norm / key_norms, (0, 2, 1))
    by_memory = ops.matmul(by_dot, keys) - by_memory_norm / memory_norms * memory
    by_keys = ops.matmul(ops.transpose(by_dot, (0, 2, 1)), memory) - by_key_norm * keys
    if guards.norm < _FADING:
        by_memory *= _share(memory_norms)
        by_keys *= ops.transpose(_share(key_norms), (0, 2, 1))
    return [by_memory, by_keys]


def _fading(vectors: Tensor, guards: Guards) -> Tensor:
    """Return vectors whose gradient fades near zero, if the guards are small."""
    if guards.norm >= _FADING:
        return vectors
    share = ops.stop_gradient(_share(_norm(vectors, guards)))
    return share * vectors + (1.0 - share) * ops.stop_gradient(vectors)


def _share(norms: Tensor) -> Tensor:
    """Return the share of the gradient that vectors of these norms keep."""
    return ops.minimum(ops.square(norms) / _FADING, 1.0)


def masked_cosine_similarity(memory: Tensor, keys: Tensor, masks: Tensor) -> Tensor:
    """Compute the cosine similarity of keys and rows, both multiplied by masks.

    The reference for `fast_masked_cosine_similarity`: its gradient is left to the
    backend.

    Args:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.
        masks: `(batch, heads, word_size)`, in [0, 1], factors of a head's key and of
            every row.

    Returns:
        `(batch, heads, memory_size)`, in [-1, 1]; 0 at a zero row, key or mask.
    """
    masked_keys = masks * keys
    masked_memory = masks[:, :, None, :] * memory[:, None, :, :]
    dot = ops.sum(masked_memory * masked_keys[:, :, None, :], axis=-1)
    memory_norms = ops.squeeze(_norm(masked_memory), -1)
    return dot / (_norm(masked_keys) * memory_norms + DEEPMIND_GUARDS.quotient)


def fast_masked_cosine_similarity(
    memory: Tensor, keys: Tensor, masks: Tensor
) -> Tensor:
    """Compute the cosine similarity of keys and rows, both multiplied by masks.

    Neither this function nor its hand-written gradient allocates a masked copy of the
    memory for each head.

    Args:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.
        masks: `(batch, heads, word_size)`, in [0, 1], factors of a head's key and of
            every row.

    Returns:
        `(batch, heads, memory_size)`, in [-1, 1]; 0 at a zero row, key or mask.
    """
    function = backend.with_gradient(_masked, _masked_gradient)
    return function([memory, keys, masks])[0]


def _masked(
    tensors: Tensors, save: bool
) -> tuple[Tensors, tuple[Tensor, Tensor, Tensor]]:
    """Compute the similarity; save both norms and the cosine, slots first."""
    memory, keys, masks = tensors
    squares = ops.transpose(ops.square(masks), (0, 2, 1))
    by_dot = ops.transpose(keys, (0, 2, 1)) * squares
    dot = ops.matmul(memory, by_dot)
    memory_norms = ops.sqrt(
        ops.matmul(ops.square(memory), squares) + DEEPMIND_GUARDS.norm
    )
    key_norms = ops.transpose(_norm(masks * keys), (0, 2, 1))
    cosine = dot / (memory_norms * key_norms + DEEPMIND_GUARDS.quotient)
    return [ops.transpose(cosine, (0, 2, 1))], (memory_norms, key_norms, cosine)


def _masked_gradient(
    tensors: Tensors, saved: tuple[Tensor, Tensor, Tensor], gradients: Tensors
) -> Tensors:
    """Return the gradients with respect to memory, keys and masks."""
    memory, keys, masks = tensors
    memory_norms, key_norms, cosine = saved
    squares, gradient = ops.square(masks), ops.transpose(gradients[0], (0, 2, 1))
    by_dot = gradient / (memory_norms * key_norms + DEEPMIND_GUARDS.quotient)
    by_norms = by_dot * cosine
    # Twice the gradients with respect to the squared norms: the factor 2 of the
    # derivative of a square is included.
    by_memory_square = -by_norms * key_norms / memory_norms
    by_key_square = -ops.sum(by_norms * memory_norms, axis=1, keepdims=True) / key_norms
    by_key_square = ops.transpose(by_key_square, (0, 2, 1))
    by_memory = ops.matmul(by_dot, keys * squares)
    by_memory += memory * ops.matmul(by_memory_square, squares)
    sums = ops.matmul(ops.transpose(by_dot, (0, 2, 1)), memory)
    by_keys = squares * (sums + by_key_square * keys)
    squared_sums = ops.transpose(by_memory_square, (0, 2, 1))
    squared_sums = ops.matmul(squared_sums, ops.square(memory))
    by_squares = sums * keys + 0.5 * (squared_sums + by_key_square * ops.square(keys))
    return [by_memory, by_keys, 2.0 * masks * by_squares]


def _norm(vectors: Tensor, guards: Guards = DEEPMIND_GUARDS) -> Tensor:
    """Return the length of each vector along the last axis, whose size becomes 1."""
    return ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + guards.norm)
