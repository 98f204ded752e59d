r"""Temporal links between slots: update them, and read along them.

The links are the largest state of the DNC, N x N numbers per write head, and automatic
differentiation passes over matrices of that size some thirty times per step. Each
function here has a hand-written gradient, and a plain reference with the same values.

With the previous links $L'$, write weights w and precedence weights p, the new links
are $L_{ij} = (1 - w_i - w_j) L'_{ij} + w_i p_j$ off the diagonal. Reading along them,
with read modes $m$ and the read weights r of the previous step, gives
$m_f L r + m_b L^\top r$. Given the gradient g of that, the backward pass needs two
products, $L^\top g$ and $L g$, and repeats none of the forward pass: the gradients are
$r \cdot L^\top g$ and $r \cdot L g$ for the modes, $m_f L^\top g + m_b L g$ for r, and
$m_f g r^\top + r (m_b g)^\top$ for L, one matrix product of concatenated vectors.

Shapes in this file: links `(batch, N, N)`, write and precedence weights `(batch, N)`,
read weights `(batch, num_reads, N)`, read modes `(batch, num_reads)`, with N the
`memory_size`. The axis of several write heads is folded into the batch.
"""

from typing import Any

from keras import ops

from keras_dnc import backend
from keras_dnc.typing import Tensor, Tensors


def update_links(link: Tensor, write: Tensor, precedence: Tensor) -> Tensor:
    """Weaken the links of the written slots, and link them to the slots written before.

    Args:
        link: `(batch, N, N)`, links of the previous step, in [0, 1], zero diagonal.
        write: `(batch, N)`, write weights, rows sum to at most 1.
        precedence: `(batch, N)`, precedence weights of the previous step, rows sum to
            at most 1.

    Returns:
        The new links, `(batch, N, N)`, in [0, 1], zero diagonal.
    """
    update = backend.with_gradient(_update, _update_gradient)
    return update([link, write, precedence])[0]


def read_along_links(
    link: Tensor, read: Tensor, forward_mode: Tensor, backward_mode: Tensor
) -> Tensor:
    """Follow the links from the slots read last, weighted by the read modes.

    Args:
        link: `(batch, N, N)`, links.
        read: `(batch, num_reads, N)`, read weights of the previous step.
        forward_mode: `(batch, num_reads)`, weight of the slots that were written after
            those.
        backward_mode: `(batch, num_reads)`, weight of the slots that were written
            before those.

    Returns:
        `(batch, num_reads, N)`, the sum of both directions.
    """
    along = backend.with_gradient(_read, _read_gradient)
    return along([link, read, forward_mode, backward_mode])[0]


def step_along_links(link: Tensor, read: Tensor) -> Tensors:
    """Follow the links from the slots read last, in each direction.

    Args:
        link: `(batch, N, N)`, links.
        read: `(batch, num_reads, N)`, read weights of the previous step.

    Returns:
        `[forward, backward]`, each `(batch, num_reads, N)`: weights of the slots that
        were written after those, and of the slots that were written before.
    """
    return backend.with_gradient(_step, _step_gradient)([link, read])


def plain_update_links(link: Tensor, write: Tensor, precedence: Tensor) -> Tensor:
    """Weaken the links of the written slots, and link them to the slots written before.

    The reference for `update_links`: its gradient is left to the backend.

    Args:
        link: `(batch, N, N)`, links of the previous step, in [0, 1], zero diagonal.
        write: `(batch, N)`, write weights, rows sum to at most 1.
        precedence: `(batch, N)`, precedence weights of the previous step, rows sum to
            at most 1.

    Returns:
        The new links, `(batch, N, N)`, in [0, 1], zero diagonal.
    """
    to, back = write[:, :, None], write[:, None, :]
    return _off_diagonal((1.0 - to - back) * link + to * precedence[:, None, :])


def plain_read_along_links(
    link: Tensor, read: Tensor, forward_mode: Tensor, backward_mode: Tensor
) -> Tensor:
    """Follow the links from the slots read last, weighted by the read modes.

    The reference for `read_along_links`: its gradient is left to the backend.

    Args:
        link: `(batch, N, N)`, links.
        read: `(batch, num_reads, N)`, read weights of the previous step.
        forward_mode: `(batch, num_reads)`, weight of the slots that were written after
            those.
        backward_mode: `(batch, num_reads)`, weight of the slots that were written
            before those.

    Returns:
        `(batch, num_reads, N)`, the sum of both directions.
    """
    # Links first: XLA is twice as fast at this product as at its transpose. Without the
    # multiplication between product and transposition, XLA would swap the factors.
    forward = forward_mode[:, None, :] * ops.matmul(link, _columns(read))
    backward = backward_mode[:, :, None] * ops.matmul(read, link)
    return _rows(forward) + backward


def plain_step_along_links(link: Tensor, read: Tensor) -> Tensors:
    """Follow the links from the slots read last, in each direction.

    The reference for `step_along_links`: its gradient is left to the backend.

    Args:
        link: `(batch, N, N)`, links.
        read: `(batch, num_reads, N)`, read weights of the previous step.

    Returns:
        `[forward, backward]`, each `(batch, num_reads, N)`: weights of the slots that
        were written after those, and of the slots that were written before.
    """
    return [_rows(ops.matmul(link, _columns(read))), ops.matmul(read, link)]


def _update(tensors: Tensors, save: bool) -> tuple[Tensors, tuple[()]]:
    """Compute the new links; the gradient needs only the arguments."""
    return [plain_update_links(*tensors)], ()


def _update_gradient(tensors: Tensors, saved: Any, gradients: Tensors) -> Tensors:
    """Return the gradients with respect to links, write and precedence weights."""
    link, write, precedence = tensors
    gradient = gradients[0]
    diagonal = _diagonal(gradient)
    # Row and column sums are products with ones: XLA would fuse sums with the
    # operations around them, and compute those twice.
    weighted, ones = gradient * link, ops.ones_like(write)
    by_decay = _times(weighted, ones) + _transpose_times(weighted, ones)
    return [
        _off_diagonal(gradient * (1.0 - write[:, :, None] - write[:, None, :])),
        _times(gradient, precedence) - diagonal * precedence - by_decay,
        _transpose_times(gradient, write) - diagonal * write,
    ]


def _read(tensors: Tensors, save: bool) -> tuple[Tensors, tuple[()]]:
    """Compute the read weights; the gradient needs only the arguments."""
    return [plain_read_along_links(*tensors)], ()


def _read_gradient(tensors: Tensors, saved: Any, gradients: Tensors) -> Tensors:
    """Return the gradients with respect to links, read weights and read modes."""
    link, read, forward_mode, backward_mode = tensors
    gradient = gradients[0]
    ahead, behind = forward_mode[:, :, None], backward_mode[:, :, None]
    against = ops.matmul(gradient, link)
    # Without the operations between product and transposition, XLA would swap the
    # factors, and take five times as long.
    along = ops.matmul(link, _columns(gradient))
    by_read = ahead * against + _rows(backward_mode[:, None, :] * along)
    return [
        _outer(ahead * gradient, read, read, behind * gradient),
        by_read,
        ops.sum(read * against, axis=-1),
        ops.sum(_columns(read) * along, axis=1),
    ]


def _step(tensors: Tensors, save: bool) -> tuple[Tensors, tuple[()]]:
    """Compute the weights of both directions; the gradient needs only the arguments."""
    return plain_step_along_links(*tensors), ()


def _step_gradient(tensors: Tensors, saved: Any, gradients: Tensors) -> Tensors:
    """Return the gradients with respect to links and read weights."""
    link, read = tensors
    ahead, behind = gradients
    against = ops.matmul(ahead, link)
    along = _rows(ops.matmul(link, _columns(behind)))
    return [_outer(ahead, read, read, behind), against + along]


def _outer(
    left: Tensor, right: Tensor, more_left: Tensor, more_right: Tensor
) -> Tensor:
    """Sum two sets of outer products, `(batch, N, N)`, as one matrix product."""
    columns = ops.concatenate([_columns(left), _columns(more_left)], axis=2)
    return ops.matmul(columns, ops.concatenate([right, more_right], axis=1))


def _columns(rows: Tensor) -> Tensor:
    """Transpose rows `(batch, num_reads, N)` to columns `(batch, N, num_reads)`."""
    return ops.transpose(rows, (0, 2, 1))


_rows = _columns  # from columns back to rows, by the same transposition


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply matrices `(batch, N, N)` by vectors `(batch, N)`."""
    if backend.is_eager():  # PyTorch is ten times as fast with rows as vectors
        return _transpose_times(ops.transpose(matrix, (0, 2, 1)), vector)
    return ops.matmul(matrix, vector[:, :, None])[:, :, 0]


def _transpose_times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply transposed matrices `(batch, N, N)` by vectors `(batch, N)`."""
    return ops.matmul(vector[:, None, :], matrix)[:, 0, :]


def _diagonal(matrix: Tensor) -> Tensor:
    """Return the diagonals of matrices, `(batch, N)`."""
    size = matrix.shape[-1]
    return ops.reshape(matrix, (-1, size * size))[:, :: size + 1]


def _off_diagonal(matrix: Tensor) -> Tensor:
    """Set the diagonal of finite matrices to zero."""
    size = matrix.shape[-1]
    if backend.is_eager():  # a product is four times as fast as `ops.where`
        return matrix * (1.0 - ops.eye(size, dtype=matrix.dtype))
    slots = ops.arange(size)
    return ops.where(slots[:, None] == slots[None, :], 0.0, matrix)
