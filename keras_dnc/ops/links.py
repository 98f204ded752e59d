r"""Update the links and read along them, with the gradient written by hand.

The links are the largest state of the DNC, N x N numbers per write head, and automatic
differentiation of `addressing.TemporalLinkage` passes over matrices of that size some
thirty times per step; here the backward pass takes four passes beside matrix products.
`read_along_links` and `step_along_links` and their plain references give the same
numbers.

With the old links $L'$, whose diagonal is zero, write weights w and precedence weights
p, any product with the new links L comes from products with L':

$$L v = (1 - w) \circ (L' v) - L' (w \circ v) + w (p \cdot v) - w \circ p \circ v$$
$$L^\top v = L'^\top ((1 - w) \circ v) - w \circ (L'^\top v) + p (w \cdot v)
- w \circ p \circ v$$

so that the backward pass forms no new links. What is read is
$m_f L r + m_b L^\top r$, with read modes $m$ and read weights r of the previous step.
Given the gradients $g_f$ and $g_b$ of what each direction gives, here $m_f g$ and
$m_b g$, and the gradient $g_L$ of the new links, the links' whole gradient
is $G = g_L + g_f r^\top + r g_b^\top$ off the diagonal. Its sums against L', p and
w expand into products with L' and $g_L$, and only the gradient of the old links,
$G \circ (1 - w_i - w_j)$, is formed as a matrix. The read modes' gradients are
$r \cdot L^\top g$ and $r \cdot L g$: the backward pass needs no forward product.

Shapes in this file: links `(batch, N, N)`, write and precedence weights `(batch, N)`,
read weights `(batch, reads, N)`, read modes `(batch, reads)`; several write heads stand
side by side in the batch.
"""

from keras import ops

from keras_dnc import backend


def read_along_links(link, write, precedence, read, forward_mode, backward_mode):
    """Update the links, and step along them from what was read.

    Args:
        link: `(batch, N, N)`, of the previous step, zero diagonal.
        write: `(batch, N)`, write weights.
        precedence: `(batch, N)`, precedence weights of the previous step.
        read: `(batch, reads, N)`, read weights of the previous step.
        forward_mode: `(batch, reads)`, weight of what was written next.
        backward_mode: `(batch, reads)`, weight of what was written before.

    Returns:
        List of the new links `(batch, N, N)`, and of the read weights that stepping
        along them gives, `(batch, reads, N)`.
    """
    step = backend.with_gradient(_forward, _backward, save=True)
    return step([link, write, precedence, read, forward_mode, backward_mode])


def step_along_links(link, write, precedence, read):
    """Update the links, and step along them each way from what was read.

    Args:
        link: `(batch, N, N)`, of the previous step, zero diagonal.
        write: `(batch, N)`, write weights.
        precedence: `(batch, N)`, precedence weights of the previous step.
        read: `(batch, reads, N)`, read weights of the previous step.

    Returns:
        List of the new links `(batch, N, N)`, and of what was written next and what
        before, each `(batch, reads, N)`.
    """
    step = backend.with_gradient(_step_forward, _step_backward, save=True)
    return step([link, write, precedence, read])


def updated_links(link, write, precedence):
    """Decay the links of what is written over, add the newest one, `(batch, N, N)`."""
    to, back = write[:, :, None], write[:, None, :]
    return _without_diagonal((1.0 - to - back) * link + to * precedence[:, None, :])


def plain_read_along_links(link, write, precedence, read, forward_mode, backward_mode):
    """Give what `read_along_links` gives, its gradient left to the backend."""
    link = updated_links(link, write, precedence)
    # Links first: XLA is twice as fast at this product as at its transpose, and would
    # turn it round if nothing stood between the product and the transposition.
    forward = forward_mode[:, None, :] * ops.matmul(link, _columns(read))
    backward = backward_mode[:, :, None] * ops.matmul(read, link)
    return [link, ops.transpose(forward, (0, 2, 1)) + backward]


def plain_step_along_links(link, write, precedence, read):
    """Give what `step_along_links` gives, its gradient left to the backend."""
    link = updated_links(link, write, precedence)
    forward = ops.transpose(ops.matmul(link, _columns(read)), (0, 2, 1))
    return [link, forward, ops.matmul(read, link)]


def _forward(tensors, save):
    return plain_read_along_links(*tensors), ()


def _backward(tensors, saved, gradients):
    *tensors, forward_mode, backward_mode = tensors
    link_gradient, gradient = gradients
    modes = forward_mode[:, :, None], backward_mode[:, :, None]
    *by_links, against, along = _link_gradients(
        tensors, link_gradient, (gradient, gradient), modes
    )
    read = tensors[3]
    return [
        *by_links,
        modes[0] * against + modes[1] * along,
        ops.sum(read * against, axis=-1),
        ops.sum(read * along, axis=-1),
    ]


def _step_forward(tensors, save):
    return plain_step_along_links(*tensors), ()


def _step_backward(tensors, saved, gradients):
    link_gradient, *vectors = gradients
    *by_links, against, along = _link_gradients(
        tensors, link_gradient, vectors, (1.0, 1.0)
    )
    return [*by_links, against + along]


def _link_gradients(tensors, link_gradient, vectors, modes):
    """Back-propagate to old links, write and precedence weights.

    The gradient of what each direction gives is that of `modes` times that of
    `vectors`, forward first: the products are those of `vectors`, whom a read mode of
    0 has not yet wiped.

    Returns:
        The three gradients, and the products of the new links, transposed, with the
        forward vectors, and of the new links with the backward vectors.
    """
    link, write, precedence, read = tensors
    (ahead, behind), (forward_mode, backward_mode) = vectors, modes
    products = _Products(link, write, precedence)
    along, old_along, old_read = products.times(behind, read)
    against, old_against, old_back = products.transpose_times(ahead, read)
    # G is the links' gradient and the sum of the outer products left x right.
    left = ops.concatenate([forward_mode * ahead, read], axis=1)
    right = ops.concatenate([read, backward_mode * behind], axis=1)
    rows = ops.concatenate([old_read, backward_mode * old_along], axis=1)
    columns = ops.concatenate([forward_mode * old_against, old_back], axis=1)
    diagonal = _diagonal(link_gradient) + ops.sum(left * right, axis=1)
    weighted = link_gradient * link
    ones = ops.ones_like(write)
    by_decay = (
        _times(weighted, ones)
        + _transpose_times(weighted, ones)
        + ops.sum(left * rows + right * columns, axis=1)
    )
    by_write = _times(link_gradient, precedence) - diagonal * precedence
    by_write += _combine(left, _dot(right, precedence))
    by_precedence = _transpose_times(link_gradient, write) - diagonal * write
    by_precedence += _combine(right, _dot(left, write))
    outer = ops.matmul(_columns(left), right)
    decay = 1.0 - write[:, :, None] - write[:, None, :]
    by_link = _without_diagonal(link_gradient + outer) * decay
    return by_link, by_write - by_decay, by_precedence, against, along


class _Products:
    """Products of the new links with vectors, by way of the old links.

    Each method gives the product of the new links and `vectors`, `(batch, reads, N)`,
    and the products of the old links with `vectors` and with `others`.
    """

    def __init__(self, link, write, precedence):
        self.link = link
        self.write = write[:, None, :]
        self.precedence = precedence[:, None, :]

    def times(self, vectors, others):
        """Multiply the links by the vectors."""
        columns = _columns(self.write * vectors, vectors, others)
        product = ops.split(ops.matmul(self.link, columns), 3, axis=2)
        written, old, old_others = [ops.transpose(p, (0, 2, 1)) for p in product]
        added = _inner(self.precedence, vectors) - self.precedence * vectors
        new = (1.0 - self.write) * old - written + self.write * added
        return new, old, old_others

    def transpose_times(self, vectors, others):
        """Multiply the transposed links by the vectors."""
        kept = (1.0 - self.write) * vectors
        rows = ops.concatenate([kept, vectors, others], axis=1)
        kept, old, old_others = ops.split(ops.matmul(rows, self.link), 3, axis=1)
        added = _inner(self.write, vectors) - self.write * vectors
        new = kept - self.write * old + self.precedence * added
        return new, old, old_others


def _columns(*vectors):
    """Stand rows `(batch, reads, N)` side by side as columns, `(batch, N, heads)`."""
    return ops.concatenate([ops.transpose(v, (0, 2, 1)) for v in vectors], axis=2)


def _inner(a, b):
    return ops.sum(a * b, axis=-1, keepdims=True)


def _dot(vectors, vector):
    """Inner product of each of `(batch, heads, N)` with one `(batch, N)`."""
    return ops.sum(vectors * vector[:, None, :], axis=-1)


def _combine(vectors, coefficients):
    """Sum `(batch, heads, N)` over heads, weighted by `(batch, heads)`."""
    return ops.sum(vectors * coefficients[:, :, None], axis=1)


def _times(matrix, vector):
    return ops.matmul(matrix, vector[:, :, None])[:, :, 0]


def _transpose_times(matrix, vector):
    return ops.matmul(vector[:, None, :], matrix)[:, 0, :]


def _diagonal(matrix):
    size = matrix.shape[-1]
    return ops.reshape(matrix, (-1, size * size))[:, :: size + 1]


def _without_diagonal(matrix):
    slots = ops.arange(matrix.shape[-1])
    return ops.where(slots[:, None] == slots[None, :], 0.0, matrix)
