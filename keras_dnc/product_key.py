"""Large memory layers with product keys (Lample et al. 2019).

What it adds to memory: a table of many thousand slots whose keys are all pairs of two
small sets of sub-keys. The best slots are found among the pairs of each set's best
sub-keys, so that a search of a million slots costs two thousand comparisons.

Reading order: `score_all_slots` (the plain reference), `best_slots` (the fast search),
`ProductKeyMemory` (the layer), `SlotUsage` (a metric of how many slots are used).
"""

import math
import warnings
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import finite_number
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.arguments import switch
from keras_dnc.ops.lookup import has_sparse_gradients
from keras_dnc.ops.lookup import lookup
from keras_dnc.ops.ranking import stable_top_k
from keras_dnc.typing import Shape, Tensor


def score_all_slots(half_scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Find the best slots by scoring every slot; the plain reference of `best_slots`.

    Args:
        half_scores: `(batch, heads, 2, n)`, the products of each half of the query with
            its n sub-keys.
        top_k: Number of slots to find.

    Returns:
        `(scores, slots)`, each `(batch, heads, top_k)`, best first; slot `i n + j` is
        the pair of sub-key i of the first half and sub-key j of the second.
    """
    size = half_scores.shape[-1]
    scores = half_scores[:, :, 0, :, None] + half_scores[:, :, 1, None, :]
    scores = ops.reshape(scores, (-1, half_scores.shape[1], size * size))
    return stable_top_k(scores, top_k)


def best_slots(half_scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Find the best slots among the pairs of each half's best sub-keys (section 3.2).

    Departures: of the k x k pairs that the paper scores, only those are scored that can
    be among the k best. The pair of the i-th and the j-th best sub-key has i j - 1
    pairs before it, so that i j must be at most k. At k = 32 these are 119 of 1,024
    pairs.

    Args:
        half_scores: `(batch, heads, 2, n)`, the products of each half of the query with
            its n sub-keys.
        top_k: Number of slots to find, at most n.

    Returns:
        `(scores, slots)`, each `(batch, heads, top_k)`, best first; slot `i n + j` is
        the pair of sub-key i of the first half and sub-key j of the second. The order
        of slots with equal scores is arbitrary.

    References:
        - Lample et al. 2019, Large Memory Layers with Product Keys, section 3.2.
    """
    size, scores, slots = half_scores.shape[-1], 0.0, 0
    for half, ranks in enumerate(_candidate_ranks(top_k)):
        # One half at a time: XLA sorts all scores if slices follow the top k.
        best, keys = stable_top_k(half_scores[:, :, half], top_k)
        scores = scores + ops.take(best, ranks, axis=-1)
        keys = ops.take(ops.cast(keys, "int32"), ranks, axis=-1)
        slots = slots * size + keys
    scores, order = stable_top_k(scores, top_k)
    return scores, ops.take_along_axis(slots, ops.cast(order, "int32"), axis=-1)


def _candidate_ranks(top_k: int) -> tuple[np.ndarray, ...]:
    """Return the ranks, from 0, of the first and second sub-key of each candidate."""
    rank = np.arange(1, top_k + 1)
    return np.nonzero(np.outer(rank, rank) <= top_k)


WEIGHTINGS = {"softmax": ops.softmax, "relu": ops.relu}


@keras.saving.register_keras_serializable(package="keras_dnc")
class ProductKeyMemory(keras.layers.Layer):
    r"""A large key-value memory that every position of a sequence reads.

    Each head has a query $q = (q_1, q_2)$. Slot $(i, j)$ of $n^2$ has the score
    $q_1 \cdot c_i + q_2 \cdot c'_j$, where $c$ and $c'$ are the head's sub-keys. The
    $k$ best slots $I$ are found exactly, and their values, which all heads share, are
    read:

    $$y = \sum_{heads} \sum_{i \in I} w_i v_i, \quad w = \mathrm{softmax}_I(scores)$$

    Masked positions are excluded from the statistics of the queries' batch
    normalization. Their outputs are computed, and the mask is passed on.

    Each slot is read seldom, so the values need a higher learning rate than the rest of
    the network. From Keras 3.15 on, a model can have two optimizers:

    ```python
    by_variable = keras.optimizers.OptimizerMap(keras.optimizers.Adam(2.5e-4))
    by_variable[".*/values"] = keras_dnc.SparseAdam(1e-3)
    model.compile(keras.optimizers.MultiOptimizer(by_variable), ...)
    ```

    With older versions, use `keras_dnc.SparseAdam` for all weights, or a custom
    `train_step` with two optimizers.

    In mixed precision the scores are still computed in float32, so that the same slots
    are selected; only the rows of the values that are read are cast.

    Departures: with `weighting="relu"` the weights are not normalized; the paper has
    softmax. The initial sub-keys follow the authors' code, because section 3.1 does not
    specify them. A batch that is masked entirely has mean and variance 0, as in
    `keras.layers.BatchNormalization`.

    Args:
        value_dim: Size of a value and of the output.
        num_slots: Number of slots, a square $n^2$. Defaults to 262144.
        num_heads: Number of queries at each position. Defaults to 4.
        top_k: Number of slots that a head reads, at most n. Defaults to 32.
        key_dim: Size of a query and of a key, an even number; half of it is the size of
            a sub-key. Defaults to 256.
        query_normalization: Whether to batch-normalize the queries, which makes them
            use more slots (section 4.5). Defaults to `True`.
        normalization_momentum: Factor of the previous moving averages at each update,
            at least 0 and below 1. Defaults to 0.9, as in the authors' code.
        normalization_epsilon: Positive number added to variances. Defaults to 1e-5, as
            in the authors' code.
        weighting: Function from a head's best scores to weights, `"softmax"` or
            `"relu"`. Defaults to `"softmax"`.
        sparse_gradient: Whether the gradient with respect to the values holds only the
            rows that were read. It needs an optimizer that supports such gradients,
            such as `SparseAdam`, and TensorFlow, or PyTorch with `jit_compile=False`
            and without loss scaling. JAX has dense gradients only; there the argument
            has no effect, and a warning is raised. Defaults to `False`.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: `(batch, time, features)` or `(batch, features)`.
        training: Whether to normalize the queries with the statistics of the batch.
            Defaults to `None`, for Keras's mode.
        mask: `(batch, time)` or `(batch,)`, false at positions to exclude. Defaults to
            `None`, for no mask.
        return_addresses: Whether to return the slots and weights too. Defaults to
            `False`.

    Returns:
        `(batch, time, value_dim)`. With `return_addresses`, a tuple of these outputs,
        `slots`, int32 in [0, num_slots), and `weights`, both
        `(batch, time, num_heads, top_k)`, best slot first. No output has a time axis
        if the inputs have none.

    Raises:
        ValueError: A size is not a positive integer, `num_slots` is not a square,
            `top_k` is above its root, `key_dim` is odd, `weighting` is unknown, a
            switch is not a bool, `normalization_momentum` or `normalization_epsilon` is
            out of range, or the inputs have another rank.

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
        normalization_momentum: float = 0.9,
        normalization_epsilon: float = 1e-5,
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
        self.query_normalization = switch("query_normalization", query_normalization)
        self.normalization_momentum = probability(
            "normalization_momentum", normalization_momentum
        )
        self.normalization_epsilon = finite_number(
            "normalization_epsilon", normalization_epsilon, above=0.0
        )
        check_choice("weighting", weighting, WEIGHTINGS)
        self.weighting = weighting
        self.sparse_gradient = switch("sparse_gradient", sparse_gradient)
        self._check_sizes()
        if self.sparse_gradient and not has_sparse_gradients():
            warnings.warn(
                "Argument `sparse_gradient` has no effect on this backend, whose "
                "gradients are of whole weights: every update passes over all "
                f"{num_slots} values. Received: sparse_gradient=True",
                stacklevel=2,
            )
        self.supports_masking = True

    def _check_sizes(self) -> None:
        """Raise a `ValueError` unless the sizes fit together."""
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

    def build(self, input_shape: Shape) -> None:
        """Create the query network, the sub-keys and the values.

        Args:
            input_shape: `(batch, time, features)` or `(batch, features)`.
        """
        _check_rank(input_shape)
        size = self.num_heads * self.key_dim
        self.query = keras.layers.Dense(size, dtype=self.dtype_policy, name="query")
        self.query.build((None, input_shape[-1]))
        if self.query_normalization:
            self.normalization = keras.layers.BatchNormalization(
                momentum=self.normalization_momentum,
                epsilon=self.normalization_epsilon,
                dtype=self.dtype_policy,
                name="normalization",
            )
            self.normalization.build((None, size))
        self._build_table()

    def _build_table(self) -> None:
        """Create the sub-keys and the values."""
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
            autocast=False,  # in mixed precision only the rows read are cast
        )

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
        return_addresses: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Compute the queries, find the best slots, and read them."""
        _check_rank(inputs.shape)
        queries = self._queries(inputs, training, mask)
        scores, slots = best_slots(self._half_scores(queries), self.top_k)
        weights = ops.cast(WEIGHTINGS[self.weighting](scores), self.compute_dtype)
        outputs = self._read(slots, weights)
        leading = ops.shape(inputs)[:-1]
        outputs = ops.reshape(outputs, (*leading, self.value_dim))
        if not return_addresses:
            return outputs
        addresses = (*leading, self.num_heads, self.top_k)
        return outputs, ops.reshape(slots, addresses), ops.reshape(weights, addresses)

    def _queries(
        self, inputs: Tensor, training: bool | None, mask: Tensor | None
    ) -> Tensor:
        """Compute the queries of all positions, `(positions, heads * key_dim)`."""
        queries = self.query(ops.reshape(inputs, (-1, inputs.shape[-1])))
        if not self.query_normalization:
            return queries
        mask = None if mask is None else ops.reshape(mask, (-1,))
        return self.normalization(queries, training=training, mask=mask)

    def _half_scores(self, queries: Tensor) -> Tensor:
        """Score the sub-keys by each half query, `(positions, heads, 2, n)`."""
        halves = ops.reshape(queries, (-1, self.num_heads, 2, self.key_dim // 2))
        # In half precision scores would tie, and other slots would be selected.
        halves = ops.cast(halves, self.variable_dtype)
        return ops.einsum("bhpd,hpnd->bhpn", halves, self.sub_keys)

    def _read(self, slots: Tensor, weights: Tensor) -> Tensor:
        """Sum the values over heads and their best slots, `(positions, value_dim)`."""
        read = self.num_heads * self.top_k
        rows = lookup(self.values, ops.reshape(slots, (-1, read)), self.sparse_gradient)
        weights = ops.reshape(weights, (-1, 1, read))
        return ops.matmul(weights, ops.cast(rows, weights.dtype))[:, 0]  # eq. 3

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask of the outputs, which is that of the inputs.

        Args:
            inputs: `(batch, time, features)` or `(batch, features)`.
            mask: `(batch, time)`, `(batch,)` or `None`. Defaults to `None`.

        Returns:
            `mask`.
        """
        return mask

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "value_dim": self.value_dim,
            "num_slots": self.num_slots,
            "num_heads": self.num_heads,
            "top_k": self.top_k,
            "key_dim": self.key_dim,
            "query_normalization": self.query_normalization,
            "normalization_momentum": self.normalization_momentum,
            "normalization_epsilon": self.normalization_epsilon,
            "weighting": self.weighting,
            "sparse_gradient": self.sparse_gradient,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a layer; in a config of version 0.1, momentum and epsilon are Keras's.

        Args:
            config: Dict of the constructor's arguments.

        Returns:
            A new layer.
        """
        first = {"normalization_momentum": 0.99, "normalization_epsilon": 1e-3}
        return cls(**{**first, **config})


@keras.saving.register_keras_serializable(package="keras_dnc")
class SlotUsage(keras.metrics.Metric):
    r"""Fraction of slots that a memory uses, and how evenly it uses them.

    With $z_i$ the share of slot $i$ in the sum of all read weights, the metric is the
    fraction of slots with $z_i > 0$, and the divergence from uniform use, in nats,

    $$KL(z \| U) = \log N + \sum_i z_i \log z_i$$

    which is 0 if all slots are used equally, and log N if only one is used.

    Args:
        num_slots: Number of slots of the memory, N.
        name: Name of the metric. Defaults to `"slot_usage"`.
        **kwargs: Keyword arguments of `keras.metrics.Metric`: `dtype`.

    Call arguments of `update_state`:
        slots: `(..., heads, top_k)`, integers in [0, num_slots).
        weights: `(..., heads, top_k)`, at least 0.
        mask: `(...)`, false at positions that are not counted. Defaults to `None`, for
            all positions.

    Returns:
        Dict with the keys `"fraction_used"` and `"kl_from_uniform"`, both 0 if nothing
        was read.

    Raises:
        ValueError: `num_slots` is not a positive integer, or the shapes of `slots` and
            `weights` differ.

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

    def update_state(
        self, slots: Tensor, weights: Tensor, mask: Tensor | None = None
    ) -> None:
        """Add the read weights of a batch.

        Args:
            slots: `(..., heads, top_k)`, integers in [0, num_slots).
            weights: `(..., heads, top_k)`, at least 0.
            mask: `(...)`, false at positions that are not counted. Defaults to `None`,
                for all positions.

        Raises:
            ValueError: The shapes of `slots` and `weights` differ.
        """
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

    def result(self) -> dict[str, Tensor]:
        """Return both numbers, under `"fraction_used"` and `"kl_from_uniform"`."""
        total = ops.sum(self.read_weight)
        share = self.read_weight / ops.where(total > 0, total, 1.0)
        used = ops.cast(share > 0, share.dtype)
        entropy = -ops.sum(share * ops.log(ops.where(share > 0, share, 1.0)))
        uneven = ops.where(total > 0, math.log(self.num_slots) - entropy, 0.0)
        return {"fraction_used": ops.mean(used), "kl_from_uniform": uneven}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_slots": self.num_slots}


def _check_rank(shape: Shape) -> None:
    """Raise a `ValueError` unless inputs of this shape have one or no time axis."""
    if len(shape) not in (2, 3):
        raise ValueError(
            "Argument `inputs` must have shape (batch, time, features) or "
            f"(batch, features). Received: inputs of shape {tuple(shape)}"
        )
