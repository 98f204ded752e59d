"""Search by locality-sensitive hashing, at a cost that hardly grows with the slots.

Rae et al. 2016, section 3.5.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import random_seed
from keras_dnc.ops.ranking import BEYOND
from keras_dnc.ops.ranking import stable_top_k
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import gather_runs
from keras_dnc.ops.rows import is_first
from keras_dnc.ops.rows import set_rows
from keras_dnc.sparse.search import ExactSearch
from keras_dnc.sparse.search import Search
from keras_dnc.sparse.search import row_norms
from keras_dnc.typing import DType, Shape, Tensor, Tensors

_EPSILON = 1e-6  # keeps the quotient finite at a row of zeros
_MAX_BITS = 22  # of a hash: four million buckets per table


@keras.saving.register_keras_serializable(package="keras_dnc")
class LSHSearch(Search):
    """Approximate search by locality-sensitive hashing with random hyperplanes.

    The search compares a key with the rows that have the same hash in at least one of
    several tables. The hash of a row has one bit per hyperplane: the side on which the
    row lies. The hash is the index of a bucket, which holds the slots of all rows with
    that hash. The cosine of the key with each of these rows is computed exactly.

    A slot enters and leaves buckets as its row changes. A row of zeros is in no bucket.
    A slot that enters a full bucket replaces another one, which this table then no
    longer finds. If more slots enter a bucket in one step than it has free entries, or
    entries if it is full, the rest are not entered.

    The index has about 4 `num_tables` numbers per slot. Among a million random rows,
    a key of a given cosine to a row finds that row this often:

    | cosine | 8 tables (default) | 32 tables |
    |---|---|---|
    | 0.99 | 96 % | |
    | 0.95 | 62 % | 97 % |

    Departures: the tables are tensors of the state; the paper keeps them outside of the
    graph.

    Args:
        num_tables: Tables. More tables find more rows, at proportional cost. Defaults
            to 8.
        bucket_size: Entries of a bucket. Defaults to 16.
        num_bits: Hyperplanes of a table, at most 22; `None` for the number that gives
            four slots per bucket of a full memory. More hyperplanes find fewer
            candidates, and miss more rows. If the number is given, the weights also fit
            memories of other sizes. Defaults to `None`.
        seed: Seed of the hyperplanes, an integer from 0 to 2^32 - 1; `None` for the
            global seed. Defaults to 0.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Raises:
        ValueError: If a size is not a positive integer, `num_bits` is above 22, or
            `seed` is out of range.

    Example:
        >>> import keras_dnc
        >>> search = LSHSearch(num_tables=4, num_bits=10)
        >>> cell = keras_dnc.SAMCell(5, controller=8, memory_size=4096, search=search)
        >>> cell.search.state_shapes(memory_size=4096)
        [(65552,)]

    References:
        - Charikar 2002, Similarity estimation techniques from rounding algorithms.
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, section 3.5.
    """

    def __init__(
        self,
        num_tables: int = 8,
        bucket_size: int = 16,
        num_bits: int | None = None,
        seed: int | None = 0,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.num_tables = positive_integer("num_tables", num_tables)
        self.bucket_size = positive_integer("bucket_size", bucket_size)
        if num_bits is not None:
            num_bits = positive_integer("num_bits", num_bits)
        if (num_bits or 0) > _MAX_BITS:
            raise ValueError(
                f"Argument `num_bits` must be at most {_MAX_BITS}. "
                f"Received: num_bits={num_bits!r}"
            )
        self.num_bits = num_bits
        self.seed = None if seed is None else random_seed("seed", seed)

    def _bits(self, memory_size: int) -> int:
        """Return the number of hyperplanes of a table."""
        if self.num_bits is not None:
            return self.num_bits
        return min(max(math.ceil(math.log2(memory_size / 4)), 1), _MAX_BITS)

    def state_shapes(self, memory_size: int) -> list[Shape]:
        """Return the shape of the index: for each entry of each bucket, slot + 1 or 0.

        The entries of a bucket follow each other. The last bucket belongs to no table
        and stays empty. Lookups and changes that must have no effect use it.

        Args:
            memory_size: Slots of the memory.

        Raises:
            ValueError: If there are 2^31 entries or more.
        """
        buckets = self.num_tables * 2 ** self._bits(memory_size)
        if (buckets + 1) * self.bucket_size >= 2**31:
            raise ValueError(
                "Arguments `num_tables` and `bucket_size` must make fewer than 2^31 "
                f"places in all. Received: num_tables={self.num_tables}, "
                f"bucket_size={self.bucket_size}, {buckets // self.num_tables} buckets"
            )
        return [((buckets + 1) * self.bucket_size,)]

    def build(self, memory_shape: tuple[int | None, int, int]) -> None:
        """Draw the hyperplanes.

        Args:
            memory_shape: `(batch, memory_size, word_size)`.
        """
        super().build(memory_shape)
        _, memory_size, word_size = memory_shape
        self.bits = self._bits(memory_size)
        self.planes = self.add_weight(
            shape=(word_size, self.num_tables * self.bits),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="planes",
        )

    def update(
        self,
        index: Tensors,
        slots: Tensor,
        before: Tensor,
        after: Tensor,
        active: Tensor | None,
    ) -> Tensors:
        """Move the slots of changed rows from their old buckets to their new ones."""
        names = ops.cast(slots, index[0].dtype)[:, :, None] + 1.0
        moves = is_first(slots)[:, :, None]
        if active is not None:
            moves = ops.logical_and(moves, active[:, None, None])
        old, new = self._buckets(before), self._buckets(after)
        leaves = ops.logical_and(moves, ops.not_equal(old, new))
        entries = self._leave(index[0], old, names, leaves)
        return [self._enter(entries, new, names, moves)]

    def _leave(
        self, entries: Tensor, buckets: Tensor, names: Tensor, leaves: Tensor
    ) -> Tensor:
        """Clear the entries of `names`, `(batch, count, 1)`, in `buckets`."""
        here = ops.equal(self._contents(entries, buckets), names[..., None])
        leaves = ops.logical_and(leaves, ops.any(here, axis=-1))
        return self._put(entries, buckets, _place(here), ops.zeros_like(names), leaves)

    def _enter(
        self, entries: Tensor, buckets: Tensor, names: Tensor, enters: Tensor
    ) -> Tensor:
        """Write `names` to free entries of `buckets`, or over others in full ones."""
        contents = self._contents(entries, buckets)
        is_in = ops.any(ops.equal(contents, names[..., None]), axis=-1)
        no_bucket = entries.shape[1] // self.bucket_size - 1
        enters = ops.logical_and(enters, ops.not_equal(buckets, no_bucket))
        enters = ops.logical_and(enters, ops.logical_not(is_in))
        rank = _rank(buckets, enters)
        place, has_place = self._place_for(contents, rank)
        enters = ops.logical_and(enters, has_place)
        return self._put(entries, buckets, place, names, enters)

    def _place_for(self, contents: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entry of its bucket that each name gets, and whether it gets one.

        The name of rank n gets the free entry n of a bucket. In a full bucket it
        replaces an entry that depends on the contents, each name another one.
        """
        free = ops.equal(contents, 0.0)
        wanted = ops.equal(
            ops.cumsum(ops.cast(free, "int32"), axis=-1), rank[..., None] + 1
        )
        wanted = ops.logical_and(free, wanted)
        finds = ops.any(wanted, axis=-1)
        over = ops.sum(ops.cast(contents, "int32") % self.bucket_size, axis=-1) + rank
        place = ops.where(finds, _place(wanted), over % self.bucket_size)
        is_full = ops.logical_not(ops.any(free, axis=-1))
        is_full = ops.logical_and(is_full, rank < self.bucket_size)
        return place, ops.logical_or(finds, is_full)

    def _contents(self, entries: Tensor, buckets: Tensor) -> Tensor:
        """Return the entries of buckets, `(batch, count, tables, bucket_size)`."""
        rows = ops.reshape(buckets, (-1, _count(buckets)))
        contents = gather_runs(entries, rows, self.bucket_size)
        return ops.reshape(contents, (-1, *buckets.shape[1:], self.bucket_size))

    def _put(
        self,
        entries: Tensor,
        buckets: Tensor,
        place: Tensor,
        names: Tensor,
        where: Tensor,
    ) -> Tensor:
        """Write names to entries of buckets; without `where`, 0 to the last bucket."""
        no_bucket = entries.shape[1] // self.bucket_size - 1
        buckets = ops.where(where, buckets, no_bucket)
        places = buckets * self.bucket_size + ops.where(where, place, 0)
        places = ops.reshape(places, (-1, _count(buckets)))
        values = ops.where(where, names, ops.zeros_like(names))
        values = ops.reshape(values, (-1, _count(buckets)))
        return set_rows(entries, places, values)

    def _buckets(self, rows: Tensor) -> Tensor:
        """Return each row's bucket in each table, `(batch, count, tables)`."""
        sides = ops.matmul(rows, self.planes) > 0.0
        sides = ops.reshape(sides, (-1, rows.shape[1], self.num_tables, self.bits))
        powers = 2 ** ops.arange(self.bits, dtype="int32")
        code = ops.sum(ops.where(sides, powers, 0), axis=-1)
        first = ops.arange(self.num_tables, dtype="int32") * 2**self.bits
        is_empty = ops.all(ops.equal(rows, 0.0), axis=-1, keepdims=True)
        return ops.where(is_empty, self.num_tables * 2**self.bits, first + code)

    def find(
        self, memory: Tensor, index: Tensors, keys: Tensor, top_k: int
    ) -> tuple[Tensor, Tensor]:
        """Find the slots of the largest cosine in the buckets of the keys."""
        heads = keys.shape[1]
        buckets = self._buckets(keys)
        names = self._contents(index[0], buckets)
        count = self.num_tables * self.bucket_size
        names = ops.reshape(names, (-1, heads, count))
        slots = ops.reshape(ops.maximum(names - 1.0, 0.0), (-1, heads * count))
        rows = ops.reshape(
            gather_rows(memory, slots), (-1, heads, count, memory.shape[2])
        )
        cosine = ops.sum(rows * keys[:, :, None], axis=-1) / (
            row_norms(rows) + _EPSILON
        )
        return self._best(names, ops.where(names > 0.0, cosine, -BEYOND), top_k)

    def _best(self, names: Tensor, cosine: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
        """Return the best slots; a slot is in at most one bucket of each table."""
        several = min(top_k * self.num_tables, names.shape[-1])
        cosine, place = stable_top_k(cosine, several)
        names = ops.take_along_axis(names, place, axis=-1)
        is_new = ops.logical_and(names > 0.0, is_first(names))
        missing = max(top_k - several, 0)
        names = ops.pad(names, [(0, 0), (0, 0), (0, missing)])
        cosine = ops.where(is_new, cosine, -BEYOND)
        cosine = ops.pad(
            cosine, [(0, 0), (0, 0), (0, missing)], constant_values=-BEYOND
        )
        cosine, place = stable_top_k(cosine, top_k)
        found = cosine > -BEYOND
        names = ops.take_along_axis(names, place, axis=-1)
        return ops.cast(ops.where(found, names - 1.0, 0.0), "int32"), found

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_tables": self.num_tables,
            "bucket_size": self.bucket_size,
            "num_bits": self.num_bits,
            "seed": self.seed,
        }


def as_search(search: str | Search | dict[str, Any], dtype: DType) -> Search:
    """Return a `Search` layer.

    Args:
        search: `"exact"`, `"lsh"`, a `Search`, or a config of one.
        dtype: Policy of a search made from its name.

    Returns:
        A `Search`.

    Raises:
        ValueError: If `search` is none of these.
    """
    if isinstance(search, dict):  # from the config of a cell
        search = keras.saving.deserialize_keras_object(search)
    if isinstance(search, Search):
        return search
    kinds: dict[Any, type[Search]] = {"exact": ExactSearch, "lsh": LSHSearch}
    check_choice("search", search, kinds)
    return kinds[search](dtype=dtype, name="search")


def _count(buckets: Tensor) -> int:
    """Return the number of buckets of one batch element."""
    return buckets.shape[1] * buckets.shape[2]


def _place(here: Tensor) -> Tensor:
    """Return the index of the only true value on the last axis; 0 if there is none."""
    indices = ops.arange(here.shape[-1], dtype="int32")
    return ops.sum(ops.where(here, indices, 0), axis=-1)


def _rank(buckets: Tensor, enters: Tensor) -> Tensor:
    """Return, for each name, how many names before it enter the same bucket."""
    count = buckets.shape[1]
    same = ops.equal(buckets[:, :, None], buckets[:, None])
    same = ops.logical_and(same, enters[:, None])
    earlier = ops.tri(count, k=-1, dtype="bool")[None, :, :, None]
    return ops.sum(ops.cast(ops.logical_and(same, earlier), "int32"), axis=2)
