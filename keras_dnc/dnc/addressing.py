"""Addressing of the DNC: which slots are free, and in what order slots were written.

Graves et al. 2016, Methods, "Dynamic memory allocation" and "Temporal memory linkage".
Equation numbers are those of the list in `keras_dnc.dnc`.
"""

import functools
import operator
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import switch
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.free_list import product_before
from keras_dnc.ops.links import read_along_links
from keras_dnc.ops.links import step_along_links
from keras_dnc.ops.links import update_links
from keras_dnc.ops.similarity import oneplus
from keras_dnc.typing import DType, Tensor

_EPSILON = 1e-6  # keeps usage off 0, where the product over slots has no gradient


@keras.saving.register_keras_serializable(package="keras_dnc")
class Freeness(keras.layers.Layer):
    r"""Usage of every slot, and the allocation of free slots to write heads.

    $$\psi_t = \prod_i (1 - f^i_t w^{r,i}_{t-1}) \tag{1}$$
    $$u_t = (u_{t-1} + w^w_{t-1} - u_{t-1} \circ w^w_{t-1}) \circ \psi_t \tag{2}$$
    $$a_t[j] = (1 - u_t[j]) \prod_{k \text{ before } j} u_t[k] \tag{3}$$

    where a slot comes before another when its usage is lower, or equal and its index
    is lower.

    Departures, each of which deepmind/dnc makes:

    - No gradient flows from usage into the write weights; `usage_gradient=True` gives
      the paper's form.
    - Several write heads: usage grows by the probability that any of them wrote.
    - Usage is kept above 1e-6 in equation 3, where the product has no gradient at 0.

    Args:
        usage_gradient: Whether the gradient of usage flows into the write weights.
            Defaults to `False`.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        write_weights: `(batch, num_writes, memory_size)` of the previous step, rows
            sum to at most 1.
        free_gate: `(batch, num_reads)`, in [0, 1].
        read_weights: `(batch, num_reads, memory_size)` of the previous step, rows sum
            to at most 1.
        usage: `(batch, memory_size)` of the previous step, in [0, 1].

    Returns:
        Usage, `(batch, memory_size)`, in [0, 1].

    Raises:
        ValueError: If `usage_gradient` is not a bool, or a call argument has the wrong
            shape.

    Example:
        >>> import numpy as np
        >>> written = np.array([[[0.0, 1.0, 0.0]]], "float32")
        >>> unread = np.zeros((1, 1, 3), "float32")
        >>> usage = Freeness()(written, np.zeros((1, 1)), unread, np.zeros((1, 3)))
        >>> [float(u) for u in usage[0]]
        [0.0, 1.0, 0.0]

    References:
        - Graves et al. 2016, Methods, "Dynamic memory allocation".
    """

    def __init__(
        self, usage_gradient: bool = False, dtype: DType = None, **kwargs: Any
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.usage_gradient = switch("usage_gradient", usage_gradient)

    def call(
        self,
        write_weights: Tensor,
        free_gate: Tensor,
        read_weights: Tensor,
        usage: Tensor,
    ) -> Tensor:
        """Add the slots written to usage, and subtract the slots read and freed."""
        check_shape("usage", usage.shape, ("batch", "memory_size"))
        slots = usage.shape[1]
        check_shape("write_weights", write_weights.shape, ("batch", "writes", slots))
        check_shape("read_weights", read_weights.shape, ("batch", "reads", slots))
        check_shape("free_gate", free_gate.shape, ("batch", read_weights.shape[1]))
        if not self.usage_gradient:
            write_weights = ops.stop_gradient(write_weights)
        written = 1.0 - _product_over_heads(1.0 - write_weights)  # w_{t-1}^w, any head
        retention = self.retention(free_gate, read_weights)  # psi_t
        return (usage + written - usage * written) * retention  # u_t, eq. 2

    @staticmethod
    def retention(free_gate: Tensor, read_weights: Tensor) -> Tensor:
        """Return how far each slot is not freed by the read heads, psi_t (eq. 1).

        Args:
            free_gate: `(batch, num_reads)`, in [0, 1].
            read_weights: `(batch, num_reads, memory_size)` of the previous step.

        Returns:
            `(batch, memory_size)`, in [0, 1].
        """
        return _product_over_heads(1.0 - ops.expand_dims(free_gate, -1) * read_weights)

    def allocation_weights(self, usage: Tensor, write_gates: Tensor) -> Tensor:
        """Find free slots for each write head in turn.

        Each head sees the usage that results from the writes of the heads before it.

        Args:
            usage: `(batch, memory_size)`, in [0, 1].
            write_gates: `(batch, num_writes)`, in [0, 1]: how much of its allocation
                each head writes, the product of allocation gate and write gate.

        Returns:
            `(batch, num_writes, memory_size)`, rows sum to at most 1.
        """
        usage, write_gates = map(ops.convert_to_tensor, (usage, write_gates))
        weights = []
        for gate in ops.unstack(write_gates, axis=1):
            weights.append(allocation(usage))
            usage = usage + (1.0 - usage) * ops.expand_dims(gate, -1) * weights[-1]
        return ops.stack(weights, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "usage_gradient": self.usage_gradient}


def allocation(usage: Tensor) -> Tensor:
    """Weight each slot by its freeness, the least used slot first (eq. 3).

    Values and gradients are those of the sorted free list, ties in the order of slots.

    Args:
        usage: `(batch, memory_size)`, in [0, 1].

    Returns:
        `(batch, memory_size)`, sums to at most 1.
    """
    # The rounding of deepmind/dnc: another one would order ties differently.
    freeness = 1.0 - (_EPSILON + (1.0 - _EPSILON) * usage)  # 1 - u_t
    return freeness * product_before(freeness)  # a_t


def _product_over_heads(weights: Tensor) -> Tensor:
    """Multiply over axis 1, factor by factor, so that the gradient is exact at zero."""
    return functools.reduce(operator.mul, ops.unstack(weights, axis=1))


class TemporalLinkageState(NamedTuple):
    """State of the temporal links.

    Attributes:
        link: `(batch, num_writes, memory_size, memory_size)`, in [0, 1]. `link[i, j]`
            is how far slot i was written right after slot j; rows and columns sum to
            at most 1, the diagonal is 0.
        precedence_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1:
            how far each slot was the last one written.
    """

    link: Tensor  # L_t
    precedence_weights: Tensor  # p_t


@keras.saving.register_keras_serializable(package="keras_dnc")
class TemporalLinkage(keras.layers.Layer):
    r"""Links between slots in the order in which they were written.

    $$L_t[i, j] = (1 - w^w_t[i] - w^w_t[j]) L_{t-1}[i, j] + w^w_t[i] p_{t-1}[j], \quad
    L_t[i, i] = 0 \tag{6}$$
    $$p_t = (1 - \textstyle\sum_i w^w_t[i]) p_{t-1} + w^w_t \tag{7}$$
    $$f^i_t = L_t w^{r,i}_{t-1}, \quad b^i_t = L_t^\top w^{r,i}_{t-1} \tag{8}$$

    The layer computes equations 6 and 7, its methods equation 8.

    Departures: one link matrix per write head, which deepmind/dnc has too.

    Args:
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        state: The previous `TemporalLinkageState`.

    Returns:
        The new `TemporalLinkageState`.

    Raises:
        ValueError: If a call argument has the wrong shape.

    Example:
        >>> import numpy as np
        >>> first, second = np.eye(3, dtype="float32")[:2].reshape(2, 1, 1, 3)
        >>> empty = np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 3))
        >>> linkage = TemporalLinkage()
        >>> state = linkage(first, TemporalLinkageState(*empty))
        >>> state = linkage(second, state)
        >>> float(state.link[0, 0, 1, 0])
        1.0

    References:
        - Graves et al. 2016, Methods, "Temporal memory linkage".
    """

    def __init__(self, dtype: DType = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)

    def call(
        self, write_weights: Tensor, state: TemporalLinkageState
    ) -> TemporalLinkageState:
        """Weaken the links of slots that are written, and add the newest link."""
        state = TemporalLinkageState(*state)
        link, precedence_weights = state
        legend = ("batch", "num_writes", "memory_size")
        check_shape("write_weights", write_weights.shape, legend)
        shape = ("batch", *write_weights.shape[1:])
        check_shape("precedence_weights", precedence_weights.shape, shape)
        check_shape("link", link.shape, shape + shape[-1:])
        slots = write_weights.shape[-1]
        new = update_links(
            ops.reshape(link, (-1, slots, slots)),
            ops.reshape(write_weights, (-1, slots)),
            ops.reshape(precedence_weights, (-1, slots)),
        )
        return TemporalLinkageState(
            link=ops.reshape(new, (-1, *shape[1:], slots)),  # L_t
            precedence_weights=newest(write_weights, precedence_weights),  # p_t
        )

    def directional_read_weights(
        self, link: Tensor, read_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Step from the slots read to those written next and those written before.

        Args:
            link: `(batch, num_writes, memory_size, memory_size)`.
            read_weights: `(batch, num_reads, memory_size)` of the previous step.

        Returns:
            `(forward, backward)`, each `(batch, num_reads, num_writes, memory_size)`,
            rows sum to at most 1.
        """
        weights = step_along_links(*_per_write_head(link, read_weights))  # eq. 8
        forward, backward = (
            ops.reshape(part, (-1, link.shape[1], *read_weights.shape[1:]))
            for part in weights
        )
        swap = (0, 2, 1, 3)
        return ops.transpose(forward, swap), ops.transpose(backward, swap)

    def follow(self, link: Tensor, read_weights: Tensor, read_mode: Tensor) -> Tensor:
        """Return `directional_read_weights`, weighted by `read_mode` and summed.

        A gradient written by hand makes this several times faster to differentiate than
        the two operations one after the other.

        Args:
            link: `(batch, num_writes, memory_size, memory_size)`.
            read_weights: `(batch, num_reads, memory_size)` of the previous step.
            read_mode: `(batch, num_reads, 2 * num_writes)`, columns backward (one per
                write head), then forward.

        Returns:
            `(batch, num_reads, memory_size)`.
        """
        writes, reads = link.shape[1], read_weights.shape[1]
        modes = ops.reshape(
            ops.transpose(read_mode, (0, 2, 1)), (-1, 2 * writes, reads)
        )
        backward_mode, forward_mode = ops.split(modes, 2, axis=1)
        weights = read_along_links(  # pi_1 b_t^i + pi_2 f_t^i
            *_per_write_head(link, read_weights),
            ops.reshape(forward_mode, (-1, reads)),
            ops.reshape(backward_mode, (-1, reads)),
        )
        weights = ops.reshape(weights, (-1, writes, *read_weights.shape[1:]))
        return ops.sum(weights, axis=1)

    def link_shape(self, num_writes: int, memory_size: int) -> tuple[int, ...]:
        """Return the shape of one batch element's links."""
        return (num_writes, memory_size, memory_size)


def _per_write_head(link: Tensor, read_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return links and read weights with the write heads merged into the batch axis."""
    writes, slots = link.shape[1:3]
    reads = ops.stack([read_weights] * writes, 1)
    return (
        ops.reshape(link, (-1, slots, slots)),
        ops.reshape(reads, (-1, *read_weights.shape[1:])),
    )


def sharpen_directions(weights: Tensor, sharpness: Tensor) -> Tensor:
    r"""Sharpen directional read weights, which each step along links blurs.

    $$S(d, s)_i = \frac{(d_i + \epsilon)^s}{\sum_j (d_j + \epsilon)^s}, \quad
    s = \mathrm{oneplus}(\hat s)$$

    Args:
        weights: `(..., memory_size)`, at least 0.
        sharpness: `(...)`, any real number, before squashing.

    Returns:
        `(..., memory_size)`, rows sum to 1.

    References:
        - Csordas and Schmidhuber 2019, Improving differentiable neural computers
          through memory masking, de-allocation, and link distribution sharpness
          control, section 3.3.
    """
    powers = ops.expand_dims(oneplus(sharpness), -1)
    # Rounding may bring a weight just below 0, where a logarithm has no value.
    logs = ops.log(ops.maximum(weights + _EPSILON, 0.5 * _EPSILON))
    return ops.softmax(powers * logs, axis=-1)  # S(d, s), first divided by the largest


def newest(write_weights: Tensor, precedence_weights: Tensor) -> Tensor:
    """Return the precedence weights after a step (eq. 7).

    Args:
        write_weights: `(batch, num_writes, memory_size)`, rows sum to at most 1.
        precedence_weights: `(batch, num_writes, memory_size)` of the previous step.

    Returns:
        `(batch, num_writes, memory_size)`, rows sum to at most 1.
    """
    remaining = 1.0 - ops.sum(write_weights, axis=-1, keepdims=True)
    return remaining * precedence_weights + write_weights  # p_t
