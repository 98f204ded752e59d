"""Large memory layers with product keys (Lample et al. 2019).

What it adds to memory: a table of many thousand slots whose keys are all pairs of two
small sets of sub-keys. The best slots of all are found among the best of each set, so
that a million slots are searched at the price of two thousand.

Reading order: `score_all_slots` (the plain reference), `best_slots` (the same from the
best of each half), `ProductKeyMemory` (the layer), `SlotUsage` (how many slots serve).
"""

import math
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.ops.lookup import has_sparse_gradients
from keras_dnc.ops.lookup import lookup


def score_all_slots(half_scores, top_k):
    """Find the best slots by the score of every one; the reference of `best_slots`.

    Args:
        half_scores: `(batch, heads, 2, n)`, the query's halves against n sub-keys each.
        top_k: How many slots to find.

    Returns:
        `(scores, slots)`, each `(batch, heads, top_k)`, best first; slot `i n + j` is
        the pair of sub-key i of the first half and j of the second.
    """
    size = half_scores.shape[-1]
    scores = half_scores[:, :, 0, :, None] + half_scores[:, :, 1, None, :]
    scores = ops.reshape(scores, (-1, half_scores.shape[1], size * size))
    return ops.top_k(scores, top_k)


def best_slots(half_scores, top_k):
    """Find the best slots among the pairs of each half's best sub-keys (section 3.2).

    Departures: of the k x k pairs that the paper adds up, only those are looked at that
    can be among the best: the pair of the i-th and the j-th best has i j - 1 others
    before it, so that i j is at most k. At k = 32 these are 119 pairs of 1,024.

    Args:
        half_scores: `(batch, heads, 2, n)`.
        top_k: How many slots to find, at most n.

    Returns:
        As `score_all_slots`; of slots that tie, any.
    """
    size, scores, slots = half_scores.shape[-1], 0.0, 0
    for half, ranks in enumerate(_pairs_that_can_win(top_k)):
        # One half at a time: XLA sorts everything where slices follow the top k.
        best, keys = ops.top_k(half_scores[:, :, half], top_k)
        scores = scores + ops.take(best, ranks, axis=-1)
        keys = ops.take(ops.cast(keys, "int32"), ranks, axis=-1)
        slots = slots * size + keys
    scores, places = ops.top_k(scores, top_k)
    return scores, ops.take_along_axis(slots, ops.cast(places, "int32"), axis=-1)


def _pairs_that_can_win(top_k):
    """Give the ranks, from 0, of the first and of the second half of each pair."""
    rank = np.arange(1, top_k + 1)
    return np.nonzero(np.outer(rank, rank) <= top_k)


WEIGHTINGS = {"softmax": ops.softmax, "relu": ops.relu}


@keras.saving.register_keras_serializable(package="keras_dnc")
class ProductKeyMemory(keras.layers.Layer):
    r"""A large key-value memory, read by every position of a sequence.

    Each head asks with a query $q = (q_1, q_2)$. Slot $(i, j)$ of $n^2$ scores
    $q_1 \cdot c_i + q_2 \cdot c'_j$ with the head's sub-keys $c$ and $c'$; the $k$ best
    slots $I$, found exactly, are read from values that all heads share:

    $$y = \sum_{heads} \sum_{i \in I} w_i v_i, \quad w = \mathrm{softmax}_I(scores)$$

    A mask is honoured: positions that it leaves out do not count in the statistics of
    the queries' batch normalization. Their outputs are computed, and the mask is handed
    on.

    The values want a learning rate of their own, higher than the network's: a slot is
    read seldom. From keras 3.15 on, two optimizers share a model:

    ```python
    by_variable = keras.optimizers.OptimizerMap(keras.optimizers.Adam(2.5e-4))
    by_variable[".*/values"] = keras_dnc.SparseAdam(1e-3)
    model.compile(keras.optimizers.MultiOptimizer(by_variable), ...)
    ```

    Older versions take `keras_dnc.SparseAdam` for all, or a `train_step` with two.

    In mixed precision the scores are computed in float32 all the same, so that the same
    slots are read; values are cast row by row.

    Departures: the scores of ReLU weights are not normalized; the paper has softmax.
    The initial sub-keys follow the authors' program, where section 3.1 says nothing.
    A batch that is masked as a whole counts as one of mean and variance 0, as in
    Keras's batch normalization.

    Args:
        value_dim: Size of a value and of the output.
        num_slots: Slots, n^2 for some n.
        num_heads: Queries at each position.
        top_k: Slots that a head reads, at most n.
        key_dim: Size of a query and of a slot's key; even, half to each sub-key.
        query_normalization: Whether the queries are batch-normalized, which spreads
            them over more slots (section 4.5).
        weighting: `"softmax"` over a head's best scores, or `"relu"` of each.
        sparse_gradient: Whether the values' gradient holds the rows that were read and
            no others. Takes an optimizer that knows such gradients, as `SparseAdam`,
            and TensorFlow or PyTorch (there with `jit_compile=False`, and no loss
            scaling); on JAX a gradient is always of the whole table, and a warning
            says so.
        **kwargs: `name` and `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, time, features)` or `(batch, features)`.
        training: Whether the queries are normalized by the batch's statistics.
        mask: `(batch, time)`, or `(batch,)`; true where a position is there.
        return_addresses: Whether to give what was read beside.

    Returns:
        `(batch, time, value_dim)`; where asked for, with `slots`, int32, and `weights`,
        each `(batch, time, num_heads, top_k)`, best slot first. Without a time axis
        where the inputs have none.

    Raises:
        ValueError: A size that is no positive integer, a number of slots that is no
            square, `top_k` above its root, an odd `key_dim`, an unknown `weighting`,
            inputs of another rank.

    Example:
        >>> import numpy as np
        >>> layer = ProductKeyMemory(5, num_slots=64, num_heads=2, top_k=3, key_dim=8)
        >>> outputs, slots, weights = layer(np.ones((2, 4, 7)), return_addresses=True)
        >>> tuple(outputs.shape), tuple(slots.shape)
        ((2, 4, 5), (2, 4, 2, 3))

    References:
        - Lample et al. 2019, Large Memory Layers with Product Keys, sections 3.1-3.3,
          eq. 1-5.
    """

    def __init__(
        self,
        value_dim: int,
        num_slots: int = 262144,
        num_heads: int = 4,
        top_k: int = 32,
        key_dim: int = 256,
        query_normalization: bool = True,
        weighting: str = "softmax",
        sparse_gradient: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.value_dim = positive_integer("value_dim", value_dim)
        self.num_slots = positive_integer("num_slots", num_slots)
        self.num_heads = positive_integer("num_heads", num_heads)
        self.top_k = positive_integer("top_k", top_k)
        self.key_dim = positive_integer("key_dim", key_dim)
        self.query_normalization = bool(query_normalization)
        check_choice("weighting", weighting, WEIGHTINGS)
        self.weighting = weighting
        self.sparse_gradient = bool(sparse_gradient)
        self._check_sizes()
        if self.sparse_gradient and not has_sparse_gradients():
            warnings.warn(
                "Argument `sparse_gradient` has no effect on this backend, whose "
                "gradients are of whole weights: every update passes over all "
                f"{num_slots} values. Received: sparse_gradient=True",
                stacklevel=2,
            )
        self.supports_masking = True

    def _check_sizes(self):
        root = math.isqrt(self.num_slots)
        if root**2 != self.num_slots:
            raise ValueError(
                "Argument `num_slots` must be a square, such as "
                f"{root**2} or {(root + 1) ** 2}. Received: num_slots={self.num_slots}"
            )
        if self.top_k > root:
            raise ValueError(
                "Argument `top_k` must be at most the square root of `num_slots`, "
                f"{root}. Received: top_k={self.top_k}, num_slots={self.num_slots}"
            )
        if self.key_dim % 2:
            raise ValueError(
                "Argument `key_dim` must be even, half for each sub-key. "
                f"Received: key_dim={self.key_dim}"
            )

    def build(self, input_shape):
        """Create the query network, the sub-keys and the values."""
        _check_rank(input_shape)
        size = self.num_heads * self.key_dim
        self.query = keras.layers.Dense(size, dtype=self.dtype_policy, name="query")
        self.query.build((None, input_shape[-1]))
        if self.query_normalization:
            self.normalization = keras.layers.BatchNormalization(
                dtype=self.dtype_policy, name="normalization"
            )
            self.normalization.build((None, size))
        self._build_table()

    def _build_table(self):
        half, root = self.key_dim // 2, math.isqrt(self.num_slots)
        bound = 1.0 / math.sqrt(half)
        self.sub_keys = self.add_weight(
            name="sub_keys",
            shape=(self.num_heads, 2, root, half),
            initializer=keras.initializers.RandomUniform(-bound, bound),
            autocast=False,
        )
        deviation = 1.0 / math.sqrt(self.value_dim)
        self.values = self.add_weight(
            name="values",
            shape=(self.num_slots, self.value_dim),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            autocast=False,  # in mixed precision the rows are cast, not the table
        )

    def call(self, inputs, training=None, mask=None, return_addresses=False):
        """Ask, find the best slots, and read them."""
        _check_rank(inputs.shape)
        queries = self._ask(inputs, training, mask)
        scores, slots = best_slots(self._half_scores(queries), self.top_k)
        weights = ops.cast(WEIGHTINGS[self.weighting](scores), self.compute_dtype)
        outputs = self._read(slots, weights)
        places = ops.shape(inputs)[:-1]
        outputs = ops.reshape(outputs, (*places, self.value_dim))
        if not return_addresses:
            return outputs
        addresses = (*places, self.num_heads, self.top_k)
        return outputs, ops.reshape(slots, addresses), ops.reshape(weights, addresses)

    def _ask(self, inputs, training, mask):
        """Give the queries of every position, `(places, heads * key_dim)`."""
        queries = self.query(ops.reshape(inputs, (-1, inputs.shape[-1])))
        if not self.query_normalization:
            return queries
        mask = None if mask is None else ops.reshape(mask, (-1,))
        return self.normalization(queries, training=training, mask=mask)

    def _half_scores(self, queries):
        """Compare each query's halves with the sub-keys, `(places, heads, 2, n)`."""
        halves = ops.reshape(queries, (-1, self.num_heads, 2, self.key_dim // 2))
        # In half precision scores would tie, and their sums select other slots.
        halves = ops.cast(halves, self.variable_dtype)
        return ops.einsum("bhpd,hpnd->bhpn", halves, self.sub_keys)

    def _read(self, slots, weights):
        """Sum the values at `(places, heads, top_k)`; `(places, value_dim)`."""
        read = self.num_heads * self.top_k
        rows = lookup(self.values, ops.reshape(slots, (-1, read)), self.sparse_gradient)
        weights = ops.reshape(weights, (-1, 1, read))
        return ops.matmul(weights, ops.cast(rows, weights.dtype))[:, 0]  # eq. 3

    def compute_mask(self, inputs, mask=None):
        """Hand the mask on with the outputs."""
        return mask

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "value_dim": self.value_dim,
            "num_slots": self.num_slots,
            "num_heads": self.num_heads,
            "top_k": self.top_k,
            "key_dim": self.key_dim,
            "query_normalization": self.query_normalization,
            "weighting": self.weighting,
            "sparse_gradient": self.sparse_gradient,
        }


@keras.saving.register_keras_serializable(package="keras_dnc")
class SlotUsage(keras.metrics.Metric):
    r"""How many slots of a memory serve, and how evenly.

    With $z_i$ the share of all read weight that slot $i$ has had, gives the fraction of
    slots with $z_i > 0$ and the divergence from even use, in nats,

    $$KL(z \| U) = \log N + \sum_i z_i \log z_i$$

    which is 0 where all slots are used alike and log N where one is used alone.

    Args:
        num_slots: Slots of the memory, N.
        **kwargs: `name` and `dtype`, as in `keras.metrics.Metric`.

    Call arguments:
        slots: `(..., heads, top_k)`, integers below `num_slots`.
        weights: The same shape, at least 0.
        mask: The shape less the last two axes; where false nothing is counted.

    Returns:
        `{"fraction_used", "kl_from_uniform"}`; nothing read gives 0 and 0.

    Raises:
        ValueError: `num_slots` is no positive integer, or the shapes differ.

    Example:
        >>> usage = SlotUsage(num_slots=4)
        >>> usage.update_state([[[0, 1]]], [[[0.5, 0.5]]])
        >>> {name: round(float(value), 3) for name, value in usage.result().items()}
        {'fraction_used': 0.5, 'kl_from_uniform': 0.693}

    References:
        - Lample et al. 2019, Large Memory Layers with Product Keys, section 4.4.
    """

    def __init__(
        self, num_slots: int, name: str | None = "slot_usage", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.num_slots = positive_integer("num_slots", num_slots)
        self.read_weight = self.add_variable(
            shape=(self.num_slots,), initializer="zeros", name="read_weight"
        )

    def update_state(self, slots, weights, mask=None):
        """Count what was read."""
        slots, weights = ops.convert_to_tensor(slots), ops.convert_to_tensor(weights)
        check_shape("weights", weights.shape, tuple(slots.shape))
        weights = ops.cast(weights, self.read_weight.dtype)
        if mask is not None:
            mask = ops.cast(mask, weights.dtype)
            weights = weights * mask[..., None, None]
        total = ops.segment_sum(
            ops.reshape(weights, (-1,)),
            ops.reshape(ops.cast(slots, "int32"), (-1,)),
            num_segments=self.num_slots,
        )
        self.read_weight.assign(self.read_weight + total)

    def result(self):
        """Give both figures."""
        total = ops.sum(self.read_weight)
        share = self.read_weight / ops.where(total > 0, total, 1.0)
        used = ops.cast(share > 0, share.dtype)
        entropy = -ops.sum(share * ops.log(ops.where(share > 0, share, 1.0)))
        uneven = ops.where(total > 0, math.log(self.num_slots) - entropy, 0.0)
        return {"fraction_used": ops.mean(used), "kl_from_uniform": uneven}

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "num_slots": self.num_slots}


def _check_rank(shape):
    if len(shape) not in (2, 3):
        raise ValueError(
            "Argument `inputs` must have shape (batch, time, features) or "
            f"(batch, features). Received: inputs of shape {tuple(shape)}"
        )
