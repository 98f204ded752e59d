"""Which slots are most like a key: all of them compared, or those of like hashes."""

import math
from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import is_first
from keras_dnc.ops.rows import set_rows

_EPSILON = 1e-6  # keeps the quotient finite at a row of zeros
_BLOCK = 512  # slots; more blocks than this gives are as slow as longer ones


class Search(keras.layers.Layer):
    """Base of the ways to find the slots most like a key.

    Args:
        **kwargs: As in `keras.layers.Layer`; float32 in place of half precision.
    """

    def __init__(self, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)

    def prepare(self, memory_size, word_size):
        """Create the weights, once: cells of one size may share a search.

        Raises:
            ValueError: The search belongs to a memory of another size.
        """
        size = (memory_size, word_size)
        if not self.built:
            self.build((None, *size))
        if self.size != size:
            raise ValueError(
                "Argument `search` must be a layer of its own for each size of memory. "
                f"Received: search={self!r}, made for (memory_size, word_size) = "
                f"{self.size}, around a memory of {size}"
            )

    def build(self, memory_shape):
        """Keep the size of the memory."""
        self.size = tuple(memory_shape[1:])

    def get_config(self):  # Keras asks for it where `dtype` is an argument
        """Give the constructor's arguments."""
        return super().get_config()

    def state_shapes(self, memory_size):
        """List the shapes of one sample's index of `memory_size` slots."""
        raise NotImplementedError

    def update(self, index, slots, before, after, active):
        """Give the index after rows have changed.

        Args:
            index: List of tensors, of the shapes in `state_shapes`.
            slots: `(batch, count)`; those that repeat have equal rows.
            before: `(batch, count, word_size)`, the rows that were there.
            after: `(batch, count, word_size)`, the rows that are there now.
            active: `(batch,)`, which samples have changed; `None` for all.
        """
        raise NotImplementedError

    def find(self, memory, index, keys, top_k):
        """Find the slots of the largest cosine, in falling order.

        Args:
            memory: `(batch, memory_size, word_size)`.
            index: List of tensors, of the shapes in `state_shapes`.
            keys: `(batch, heads, word_size)`.
            top_k: How many slots to find.

        Returns:
            `(slots, found)`: `(batch, heads, top_k)`, whole numbers, and whether there
            was such a slot; where there was none, the slot is 0.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_dnc")
class ExactSearch(Search):
    """Compare a key with every row: a matrix product and the best of its numbers.

    The best are sought block by block: the K largest numbers lie in the K blocks whose
    largest numbers are largest. The index holds every row's norm.

    Args:
        **kwargs: As in `keras.layers.Layer`; float32 in place of half precision.
    """

    def state_shapes(self, memory_size):
        """One norm per slot."""
        return [(memory_size,)]

    def update(self, index, slots, before, after, active):
        """Give the norms with those of the changed rows; `after` says all."""
        return [set_rows(index[0], slots, _norm(after))]

    def find(self, memory, index, keys, top_k):
        """Multiply, divide, sort."""
        # Memory first: XLA is several times faster at this product than its transpose.
        product = ops.matmul(memory, ops.transpose(keys, (0, 2, 1)))
        cosine = product / (index[0][:, :, None] + _EPSILON)
        slots = largest(ops.transpose(cosine, (0, 2, 1)), top_k)
        return slots, ops.ones_like(slots, dtype="bool")


def largest(scores, count, block=_BLOCK):
    """Give where the largest of `scores` are, the first of those that tie.

    Args:
        scores: `(batch, heads, memory_size)`.
        count: How many to give.
        block: How many scores to take together.

    Returns:
        `(batch, heads, count)`, whole numbers, in falling order of their scores.
    """
    heads, size = scores.shape[1:]
    blocks = -(-size // block)
    if blocks <= 2 * count:
        return ops.top_k(scores, count)[1]
    scores = ops.pad(
        scores, [(0, 0), (0, 0), (0, blocks * block - size)], constant_values=-math.inf
    )
    scores = ops.reshape(scores, (-1, heads, blocks, block))
    best = ops.top_k(ops.max(scores, axis=-1), count)[1]
    best = ops.sort(best, axis=-1)  # so that ties come in the order of slots
    inside = ops.take_along_axis(scores, best[..., None], axis=2)
    place = ops.top_k(ops.reshape(inside, (-1, heads, count * block)), count)[1]
    return ops.take_along_axis(best, place // block, axis=2) * block + place % block


@keras.saving.register_keras_serializable(package="keras_dnc")
class LSHSearch(Search):
    """Compare a key with the rows that share a hash with it, in one table of several.

    A hash is the list of sides of random hyperplanes on which a row lies; it names a
    bucket of the table, which holds the slots of its rows. All candidates of a key are
    then compared with it exactly. A slot enters and leaves its buckets as its row
    changes. Slots of a row of zeros are in no bucket. Into a full bucket, a slot enters
    in the place of another, which this table then no longer finds; where more enter in
    one step than there are places, those left over do not.

    The index holds about 4 `num_tables` numbers per slot. Of a million random rows, the
    defaults find 96 % of keys at cosine 0.99 to a row and 62 % of those at 0.95; 32
    tables find 97 % of the latter (`benchmarks/recall.py`).

    Args:
        num_tables: Tables. More find more, and cost in proportion.
        bucket_size: Slots in a bucket.
        num_bits: Hyperplanes of a table, at most 22. `None` takes as many as make four
            slots per bucket of a full memory. More make fewer false candidates, and
            miss more. Weights fit memories of another size if it is given.
        seed: Of the hyperplanes.
        **kwargs: As in `keras.layers.Layer`; float32 in place of half precision.

    Raises:
        ValueError: A size that is no positive integer, or more than 22 bits.

    References:
        - Charikar 2002, Similarity estimation techniques from rounding algorithms.
        - Rae et al. 2016, section 3.5, which keeps its tables outside of the graph.
    """

    def __init__(
        self,
        num_tables: int = 8,
        bucket_size: int = 16,
        num_bits: int | None = None,
        seed: int | None = 0,
        dtype: Any = None,
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
        self.seed = seed

    def _bits(self, memory_size):
        if self.num_bits is not None:
            return self.num_bits
        return min(max(math.ceil(math.log2(memory_size / 4)), 1), _MAX_BITS)

    def state_shapes(self, memory_size):
        """One more than the slot at each place of each bucket, or 0.

        The last bucket belongs to no table: it stays empty, and is what there is to
        find or to change where there is nothing.
        """
        buckets = self.num_tables * 2 ** self._bits(memory_size)
        if (buckets + 1) * self.bucket_size >= 2**31:
            raise ValueError(
                "Arguments `num_tables` and `bucket_size` must make fewer than 2^31 "
                f"places in all. Received: num_tables={self.num_tables}, "
                f"bucket_size={self.bucket_size}, {buckets // self.num_tables} buckets"
            )
        return [(buckets + 1, self.bucket_size)]

    def build(self, memory_shape):
        """Draw the hyperplanes."""
        super().build(memory_shape)
        _, memory_size, word_size = memory_shape
        self.bits = self._bits(memory_size)
        self.planes = self.add_weight(
            shape=(word_size, self.num_tables * self.bits),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="planes",
        )

    def update(self, index, slots, before, after, active):
        """Take changed rows out of their old buckets, put them into their new ones."""
        names = ops.cast(slots, index[0].dtype)[:, :, None] + 1.0
        moves = is_first(slots)[:, :, None]
        if active is not None:
            moves = ops.logical_and(moves, active[:, None, None])
        old, new = self._buckets(before), self._buckets(after)
        leaves = ops.logical_and(moves, ops.not_equal(old, new))
        entries = self._leave(index[0], old, names, leaves)
        return [self._enter(entries, new, names, moves)]

    def _leave(self, entries, buckets, names, leaves):
        """Clear the places that hold `names`, `(batch, count, 1)`, in `buckets`."""
        here = ops.equal(self._contents(entries, buckets), names[..., None])
        leaves = ops.logical_and(leaves, ops.any(here, axis=-1))
        return self._put(entries, buckets, _place(here), ops.zeros_like(names), leaves)

    def _enter(self, entries, buckets, names, enters):
        """Write `names` to free places of `buckets`, or over others."""
        contents = self._contents(entries, buckets)
        is_there = ops.any(ops.equal(contents, names[..., None]), axis=-1)
        no_bucket = entries.shape[1] - 1
        enters = ops.logical_and(enters, ops.not_equal(buckets, no_bucket))
        enters = ops.logical_and(enters, ops.logical_not(is_there))
        rank = _rank(buckets, enters)
        free = ops.equal(contents, 0.0)
        wanted = ops.equal(
            ops.cumsum(ops.cast(free, "int32"), axis=-1), rank[..., None] + 1
        )
        wanted = ops.logical_and(free, wanted)
        finds = ops.any(wanted, axis=-1)
        # Full: over a place that changes with what the bucket holds, each over another.
        over = ops.sum(ops.cast(contents, "int32") % self.bucket_size, axis=-1) + rank
        place = ops.where(finds, _place(wanted), over % self.bucket_size)
        is_full = ops.logical_not(ops.any(free, axis=-1))
        is_full = ops.logical_and(is_full, rank < self.bucket_size)
        enters = ops.logical_and(enters, ops.logical_or(finds, is_full))
        return self._put(entries, buckets, place, names, enters)

    def _contents(self, entries, buckets):
        """Give what is in `buckets`, `(batch, count, tables, bucket_size)`."""
        contents = gather_rows(entries, ops.reshape(buckets, (-1, _count(buckets))))
        return ops.reshape(contents, (-1, *buckets.shape[1:], self.bucket_size))

    def _put(self, entries, buckets, place, names, where):
        """Write names to places of buckets; elsewhere, nothing to the last bucket."""
        no_bucket = entries.shape[1] - 1
        buckets = ops.where(where, buckets, no_bucket)
        places = buckets * self.bucket_size + ops.where(where, place, 0)
        places = ops.reshape(places, (-1, _count(buckets)))
        values = ops.where(where, names, ops.zeros_like(names))
        flat = ops.reshape(entries, (-1, entries.shape[1] * self.bucket_size))
        flat = set_rows(flat, places, ops.reshape(values, (-1, _count(buckets))))
        return ops.reshape(flat, (-1, *entries.shape[1:]))

    def _buckets(self, rows):
        """Give each row's bucket in each table, `(batch, count, tables)`."""
        sides = ops.matmul(rows, self.planes) > 0.0
        sides = ops.reshape(sides, (-1, rows.shape[1], self.num_tables, self.bits))
        powers = 2 ** ops.arange(self.bits, dtype="int32")
        code = ops.sum(ops.where(sides, powers, 0), axis=-1)
        first = ops.arange(self.num_tables, dtype="int32") * 2**self.bits
        is_empty = ops.all(ops.equal(rows, 0.0), axis=-1, keepdims=True)
        return ops.where(is_empty, self.num_tables * 2**self.bits, first + code)

    def find(self, memory, index, keys, top_k):
        """Look into the keys' buckets, compare, keep the best of those that differ."""
        heads = keys.shape[1]
        buckets = self._buckets(keys)
        names = self._contents(index[0], buckets)
        count = self.num_tables * self.bucket_size
        names = ops.reshape(names, (-1, heads, count))
        slots = ops.reshape(ops.maximum(names - 1.0, 0.0), (-1, heads * count))
        rows = ops.reshape(
            gather_rows(memory, slots), (-1, heads, count, memory.shape[2])
        )
        cosine = ops.sum(rows * keys[:, :, None], axis=-1) / (_norm(rows) + _EPSILON)
        return self._best(names, ops.where(names > 0.0, cosine, -math.inf), top_k)

    def _best(self, names, cosine, top_k):
        """Give the best slots; each stands in at most one bucket of each table."""
        several = min(top_k * self.num_tables, names.shape[-1])
        cosine, place = ops.top_k(cosine, several)
        names = ops.take_along_axis(names, place, axis=-1)
        is_new = ops.logical_and(names > 0.0, is_first(names))
        missing = max(top_k - several, 0)
        names = ops.pad(names, [(0, 0), (0, 0), (0, missing)])
        cosine = ops.where(is_new, cosine, -math.inf)
        cosine = ops.pad(
            cosine, [(0, 0), (0, 0), (0, missing)], constant_values=-math.inf
        )
        cosine, place = ops.top_k(cosine, top_k)
        found = cosine > -math.inf
        names = ops.take_along_axis(names, place, axis=-1)
        return ops.cast(ops.where(found, names - 1.0, 0.0), "int32"), found

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "num_tables": self.num_tables,
            "bucket_size": self.bucket_size,
            "num_bits": self.num_bits,
            "seed": self.seed,
        }


_MAX_BITS = 22  # of a hash: four million buckets


def as_search(search, dtype):
    """Give the `Search` that `search` stands for: `"exact"`, `"lsh"`, or itself.

    Raises:
        ValueError: `search` is none of these.
    """
    if isinstance(search, dict):  # as a cell's config holds it
        search = keras.saving.deserialize_keras_object(search)
    if isinstance(search, Search):
        return search
    kinds = {"exact": ExactSearch, "lsh": LSHSearch}
    check_choice("search", search, kinds)
    return kinds[search](dtype=dtype, name="search")


def _norm(rows):
    return ops.sqrt(ops.sum(ops.square(rows), axis=-1))


def _count(buckets):
    return buckets.shape[1] * buckets.shape[2]


def _place(here):
    """Give where `here`, true at most once, is true along its last axis."""
    places = ops.arange(here.shape[-1], dtype="int32")
    return ops.sum(ops.where(here, places, 0), axis=-1)


def _rank(buckets, enters):
    """Count, for each, the earlier ones that enter the same bucket."""
    count = buckets.shape[1]
    same = ops.equal(buckets[:, :, None], buckets[:, None])
    same = ops.logical_and(same, enters[:, None])
    earlier = ops.tri(count, k=-1, dtype="bool")[None, :, :, None]
    return ops.sum(ops.cast(ops.logical_and(same, earlier), "int32"), axis=2)
