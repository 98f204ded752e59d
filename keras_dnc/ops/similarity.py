"""Similarity of keys and rows of memory, with gradients written by hand.

Shared by every paper since the Neural Turing Machine (Graves et al. 2014).
"""

from keras import ops

from keras_dnc import backend

_EPSILON = 1e-6  # keeps norm and quotient, and their gradients, finite at zero memory


def oneplus(x):
    """Squash to above 1: `oneplus(x) = 1 + log(1 + exp(x))` (Graves et al. 2016)."""
    return 1.0 + ops.softplus(x)


STRENGTHS = {"softplus": ops.softplus, "oneplus": oneplus}


def weighted_softmax(scores, strengths):
    """Softmax over slots, sharpened by one strength per head.

    Args:
        scores: `(batch, heads, memory_size)`.
        strengths: `(batch, heads)`, at least 0.

    Returns:
        `(batch, heads, memory_size)`, rows sum to 1.
    """
    return ops.softmax(scores * ops.expand_dims(strengths, -1), axis=-1)


def cosine_similarity(memory, keys):
    """Cosine of the angle between each key and each row of memory.

    The plain reference of `fast_cosine_similarity`.

    Args:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.

    Returns:
        `(batch, heads, memory_size)`, in [-1, 1]; 0 at a zero row or a zero key.
    """
    dot = ops.matmul(keys, ops.transpose(memory, (0, 2, 1)))
    memory_norms = ops.transpose(_norm(memory), (0, 2, 1))
    return dot / (_norm(keys) * memory_norms + _EPSILON)


def fast_cosine_similarity(memory, keys):
    """Give `cosine_similarity`, with a gradient written by hand.

    Automatic differentiation makes four arrays of the memory's size; this one.
    """
    similarity = backend.with_gradient(_similarity, _similarity_gradient, save=True)
    return similarity([memory, keys])[0]


def _similarity(tensors, save):
    memory, keys = tensors
    memory_norms, key_norms = _norm(memory), ops.transpose(_norm(keys), (0, 2, 1))
    # Memory first: XLA is several times faster at this product than at its transpose.
    dot = ops.matmul(memory, ops.transpose(keys, (0, 2, 1)))
    cosine = dot / (memory_norms * key_norms + _EPSILON)
    return [ops.transpose(cosine, (0, 2, 1))], (memory_norms, key_norms, cosine)


def _similarity_gradient(tensors, saved, gradients):
    memory, keys = tensors
    memory_norms, key_norms, cosine = saved
    gradient = ops.transpose(gradients[0], (0, 2, 1))
    by_dot = gradient / (memory_norms * key_norms + _EPSILON)
    by_norms = by_dot * cosine
    by_memory_norm = ops.sum(by_norms * key_norms, axis=2, keepdims=True)
    by_key_norm = ops.sum(by_norms * memory_norms, axis=1, keepdims=True)
    by_key_norm = ops.transpose(by_key_norm / key_norms, (0, 2, 1))
    by_memory = ops.matmul(by_dot, keys) - by_memory_norm / memory_norms * memory
    by_keys = ops.matmul(ops.transpose(by_dot, (0, 2, 1)), memory) - by_key_norm * keys
    return [by_memory, by_keys]


def masked_cosine_similarity(memory, keys, masks):
    """Cosine of each key and each row of memory, both multiplied by the head's mask.

    The plain reference of `fast_masked_cosine_similarity`.

    Args:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.
        masks: `(batch, heads, word_size)`, in [0, 1]: how far each number counts.

    Returns:
        `(batch, heads, memory_size)`, in [-1, 1].
    """
    masked_keys = masks * keys
    masked_memory = masks[:, :, None, :] * memory[:, None, :, :]
    dot = ops.sum(masked_memory * masked_keys[:, :, None, :], axis=-1)
    memory_norms = ops.squeeze(_norm(masked_memory), -1)
    return dot / (_norm(masked_keys) * memory_norms + _EPSILON)


def fast_masked_cosine_similarity(memory, keys, masks):
    """Give `masked_cosine_similarity`, no masked copy of the memory for each head."""
    function = backend.with_gradient(_masked, _masked_gradient, save=True)
    return function([memory, keys, masks])[0]


def _masked(tensors, save):
    memory, keys, masks = tensors
    squares = ops.transpose(ops.square(masks), (0, 2, 1))
    by_dot = ops.transpose(keys, (0, 2, 1)) * squares
    dot = ops.matmul(memory, by_dot)
    memory_norms = ops.sqrt(ops.matmul(ops.square(memory), squares) + _EPSILON)
    key_norms = ops.transpose(_norm(masks * keys), (0, 2, 1))
    cosine = dot / (memory_norms * key_norms + _EPSILON)
    return [ops.transpose(cosine, (0, 2, 1))], (memory_norms, key_norms, cosine)


def _masked_gradient(tensors, saved, gradients):
    memory, keys, masks = tensors
    memory_norms, key_norms, cosine = saved
    squares, gradient = ops.square(masks), ops.transpose(gradients[0], (0, 2, 1))
    by_dot = gradient / (memory_norms * key_norms + _EPSILON)
    by_norms = by_dot * cosine
    # Twice the gradients by the squared norms: a square's derivative has the other 2.
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


def _norm(vectors):
    """Length of each vector on the last axis, which becomes 1."""
    return ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + _EPSILON)
