r"""Temporal links between slots: update them, and read along them.

The links are the largest state of the DNC, N x N numbers per write head, and automatic
differentiation passes over matrices of that size some thirty times per step. Here each
function has a gradient written by hand, beside a plain reference of the same numbers.

With the old links $L'$, write weights w and precedence weights p, the new links are
$L_{ij} = (1 - w_i - w_j) L'_{ij} + w_i p_j$ off the diagonal. Reading along them, with
read modes $m$ and the read weights r of the previous step, gives
$m_f L r + m_b L^\top r$. Given the gradient g of that, the backward pass needs two
products, $L^\top g$ and $L g$, and no forward one: the gradients are
$r \cdot L^\top g$ and $r \cdot L g$ for the modes, $m_f L^\top g + m_b L g$ for r, and
for L one matrix product of vectors side by side, $m_f g r^\top + r (m_b g)^\top$.

Shapes in this file: links `(batch, N, N)`, write and precedence weights `(batch, N)`,
read weights `(batch, reads, N)`, read modes `(batch, reads)`; several write heads stand
side by side in the batch.
"""

from keras import ops

from keras_dnc import backend
from keras_dnc.typing import Tensor
from keras_dnc.typing import Tensors


def update_links(link: Tensor, write: Tensor, precedence: Tensor) -> Tensor:
    """Weaken the links of slots that are written, add those to the slots written last.

    Args:
        link: `(batch, N, N)`, of the previous step, zero diagonal.
        write: `(batch, N)`, write weights.
        precedence: `(batch, N)`, precedence weights of the previous step.

    Returns:
        The new links, `(batch, N, N)`.
    """
    update = backend.with_gradient(_update, _update_gradient)
    return update([link, write, precedence])[0]


def read_along_links(
    link: Tensor, read: Tensor, forward_mode: Tensor, backward_mode: Tensor
) -> Tensor:
    """Step along the links from what was read, both ways, weighted by the read modes.

    Args:
        link: `(batch, N, N)`.
        read: `(batch, reads, N)`, read weights of the previous step.
        forward_mode: `(batch, reads)`, weight of the slots that were written next.
        backward_mode: `(batch, reads)`, weight of the slots that were written before.

    Returns:
        `(batch, reads, N)`.
    """
    along = backend.with_gradient(_read, _read_gradient)
    return along([link, read, forward_mode, backward_mode])[0]


def step_along_links(link: Tensor, read: Tensor) -> Tensors:
    """Step along the links from what was read, each way.

    Args:
        link: `(batch, N, N)`.
        read: `(batch, reads, N)`, read weights of the previous step.

    Returns:
        List of what was written next and what before, each `(batch, reads, N)`.
    """
    return backend.with_gradient(_step, _step_gradient)([link, read])


def plain_update_links(link: Tensor, write: Tensor, precedence: Tensor) -> Tensor:
    """Return what `update_links` does, its gradient left to the backend."""
    to, back = write[:, :, None], write[:, None, :]
    return _off_diagonal((1.0 - to - back) * link + to * precedence[:, None, :])


def plain_read_along_links(
    link: Tensor, read: Tensor, forward_mode: Tensor, backward_mode: Tensor
) -> Tensor:
    """Return what `read_along_links` does, its gradient left to the backend."""
    # Links first: XLA is twice as fast at this product as at its transpose, and would
    # turn it round if nothing stood between the product and the transposition.
    forward = forward_mode[:, None, :] * ops.matmul(link, _columns(read))
    backward = backward_mode[:, :, None] * ops.matmul(read, link)
    return _rows(forward) + backward


def plain_step_along_links(link: Tensor, read: Tensor) -> Tensors:
    """Return what `step_along_links` does, its gradient left to the backend."""
    return [_rows(ops.matmul(link, _columns(read))), ops.matmul(read, link)]


def _update(tensors, save):
    return [plain_update_links(*tensors)], ()


def _update_gradient(tensors, saved, gradients):
    link, write, precedence = tensors
    gradient = gradients[0]
    diagonal = _diagonal(gradient)
    # Row and column sums as products with ones: XLA fuses sums with all around them,
    # and computes it twice.
    weighted, ones = gradient * link, ops.ones_like(write)
    by_decay = _times(weighted, ones) + _transpose_times(weighted, ones)
    return [
        _off_diagonal(gradient * (1.0 - write[:, :, None] - write[:, None, :])),
        _times(gradient, precedence) - diagonal * precedence - by_decay,
        _transpose_times(gradient, write) - diagonal * write,
    ]


def _read(tensors, save):
    return [plain_read_along_links(*tensors)], ()


def _read_gradient(tensors, saved, gradients):
    link, read, forward_mode, backward_mode = tensors
    gradient, (ahead, behind) = (
        gradients[0],
        (forward_mode[:, :, None], backward_mode[:, :, None]),
    )
    against, along = _both_products(link, gradient, gradient)
    return [
        _outer(ahead * gradient, read, read, behind * gradient),
        ahead * against + behind * along,
        ops.sum(read * against, axis=-1),
        ops.sum(read * along, axis=-1),
    ]


def _step(tensors, save):
    return plain_step_along_links(*tensors), ()


def _step_gradient(tensors, saved, gradients):
    link, read = tensors
    ahead, behind = gradients
    against, along = _both_products(link, ahead, behind)
    return [_outer(ahead, read, read, behind), against + along]


def _both_products(link, ahead, behind):
    """Multiply the transposed links by rows `ahead`, and the links by `behind`."""
    return ops.matmul(ahead, link), _rows(ops.matmul(link, _columns(behind)))


def _outer(left, right, more_left, more_right):
    """Sum the outer products of rows, `(batch, N, N)`, as one matrix product."""
    columns = ops.concatenate([_columns(left), _columns(more_left)], axis=2)
    return ops.matmul(columns, ops.concatenate([right, more_right], axis=1))


def _columns(rows):
    """Stand rows `(batch, reads, N)` side by side as columns, `(batch, N, reads)`."""
    return ops.transpose(rows, (0, 2, 1))


_rows = _columns  # the same transposition, the other way round


def _times(matrix, vector):
    return ops.matmul(matrix, vector[:, :, None])[:, :, 0]


def _transpose_times(matrix, vector):
    return ops.matmul(vector[:, None, :], matrix)[:, 0, :]


def _diagonal(matrix):
    size = matrix.shape[-1]
    return ops.reshape(matrix, (-1, size * size))[:, :: size + 1]


def _off_diagonal(matrix):
    """Set the diagonal to zero."""
    slots = ops.arange(matrix.shape[-1])
    return ops.where(slots[:, None] == slots[None, :], 0.0, matrix)
