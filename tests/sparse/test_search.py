"""What search finds: exactly the best slots, or most of them."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from keras import ops

from keras_dnc.ops.ranking import largest
from keras_dnc.sparse.hashing import LSHSearch
from keras_dnc.sparse.hashing import as_search
from keras_dnc.sparse.search import ExactSearch
from tests.numbers import to_numpy

BATCH, WORD = 2, 8


def indexed(search, memory):
    """The index of a memory whose rows were all written, a few at a time."""
    batch, size, word = memory.shape
    if not search.built:
        search.build((None, size, word))
    index = [ops.zeros((batch, *shape)) for shape in search.state_shapes(size)]
    for start in range(0, size, 25):
        slots = np.tile(np.arange(start, min(start + 25, size)), (batch, 1))
        after = ops.convert_to_tensor(memory[:, start : start + 25])
        slots = ops.convert_to_tensor(slots)
        index = search.update(index, slots, ops.zeros_like(after), after, None)
    return index


def buckets_of(search, index):
    """The entries of hash tables, `(batch, buckets, bucket_size)`."""
    entries = to_numpy(index[0])
    return entries.reshape((len(entries), -1, search.bucket_size))


def find(search, memory, index, keys, top_k):
    memory, keys = ops.convert_to_tensor(memory), ops.convert_to_tensor(keys)
    return to_numpy(search.find(memory, index, keys, top_k))


def cosines(memory, keys):
    norms = (
        np.linalg.norm(memory, axis=2)[:, None]
        * np.linalg.norm(keys, axis=2)[..., None]
    )
    return np.einsum("bhw,bnw->bhn", keys, memory) / norms


def random_memory(rng, size):
    return rng.normal(size=(BATCH, size, WORD)).astype("float32")


@pytest.mark.parametrize("size", [30, 5000])  # one block, and many
def test_exact_search_gives_the_largest_cosines_in_order(rng, size):
    memory = random_memory(rng, size)
    keys = rng.normal(size=(BATCH, 3, WORD)).astype("float32")
    search = ExactSearch()
    slots, found = find(search, memory, indexed(search, memory), keys, 4)
    expected = np.argsort(-cosines(memory, keys), axis=-1)[..., :4]
    np.testing.assert_array_equal(slots, expected)
    assert np.all(found)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    strategies.integers(1, 60), strategies.integers(1, 4), strategies.integers(0, 99)
)
def test_the_largest_of_blocks_are_the_largest_ties_in_order(size, count, seed):
    scores = np.random.default_rng(seed).integers(0, 4, (2, 3, size))
    count = min(count, size)
    expected = np.argsort(-scores, axis=-1, kind="stable")[..., :count]
    scores = ops.convert_to_tensor(scores.astype("float32"))
    # Their order among themselves too: it names the slots of near-ties.
    found = to_numpy(largest(scores, count, block=4))
    np.testing.assert_array_equal(found, expected)


def test_hashing_finds_a_row_by_itself(rng):
    memory = random_memory(rng, 300)
    search = LSHSearch(num_tables=4)
    index = indexed(search, memory)
    slots, found = find(search, memory, index, memory[:, [7, 123, 250]], 2)
    np.testing.assert_array_equal(slots[:, :, 0], [[7, 123, 250]] * BATCH)
    assert np.all(found[:, :, 0])


def test_hashing_finds_most_of_what_is_near(rng):
    memory = random_memory(rng, 2000)
    search = LSHSearch()
    index = indexed(search, memory)
    asked = rng.integers(0, 2000, (BATCH, 100))
    near = np.take_along_axis(memory, asked[..., None], axis=1)
    keys = near + 0.1 * rng.normal(size=near.shape).astype("float32")
    slots, _ = find(search, memory, index, keys, 1)
    assert np.mean(slots[..., 0] == asked) > 0.95


def test_no_slot_is_found_twice_and_none_in_an_empty_memory(rng):
    memory = random_memory(rng, 60)
    memory[:, 40:] = 0.0
    search = LSHSearch(num_tables=3, num_bits=1)
    slots, found = find(search, memory, indexed(search, memory), memory[:, :5], 20)
    for sample, head in np.ndindex(BATCH, 5):
        real = slots[sample, head][found[sample, head]]
        assert len(set(real)) == len(real)
        assert np.all(real < 40)
    empty = np.zeros_like(memory)
    _, found = find(search, empty, indexed(search, empty), memory[:, :5], 20)
    assert not np.any(found)


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(strategies.integers(0, 10**6))
def test_tables_hold_each_row_where_its_hash_is_and_nowhere_else(seed):
    rng = np.random.default_rng(seed)
    search = LSHSearch(num_tables=3, bucket_size=40, num_bits=2)
    memory = np.zeros((BATCH, 40, WORD), "float32")
    index = indexed(search, memory)
    for _ in range(6):
        slots = rng.integers(0, 40, (BATCH, 9))
        before = np.take_along_axis(memory, slots[..., None], axis=1)
        values = rng.normal(size=memory.shape) * (rng.random((BATCH, 40, 1)) < 0.8)
        active = np.array([True, rng.random() < 0.5])
        changed = np.zeros((BATCH, 40, 1), bool)
        np.put_along_axis(changed, slots[..., None], True, axis=1)
        changed &= active[:, None, None]
        memory = np.where(changed, values, memory).astype("float32")
        after = np.take_along_axis(memory, slots[..., None], axis=1)
        tensors = [ops.convert_to_tensor(t) for t in (slots, before, after, active)]
        index = search.update(index, *tensors)
    entries = buckets_of(search, index)
    planes = to_numpy(search.planes.value).reshape(WORD, 3, 2)
    sides = np.einsum("bnw,wtk->bntk", memory, planes) > 0.0
    codes = sides @ np.array([1, 2]) + 4 * np.arange(3)
    for sample in range(BATCH):
        expected = [set() for _ in range(13)]
        for slot in np.flatnonzero(np.any(memory[sample] != 0.0, axis=1)):
            for bucket in codes[sample, slot]:
                expected[bucket].add(slot + 1)
        found = [row[row > 0] for row in entries[sample]]
        assert [set(row) for row in found] == expected
        assert all(len(set(row)) == len(row) for row in found)


def test_a_full_bucket_lets_another_go(rng):
    search = LSHSearch(num_tables=1, bucket_size=3, num_bits=1)
    memory = np.abs(rng.normal(size=(1, 20, 1))).astype("float32")  # one side of all
    (entries,) = buckets_of(search, indexed(search, memory))
    full = entries[np.argmax(np.sum(entries > 0, axis=1))]
    assert np.all(full > 0)
    assert len(set(full)) == 3


@pytest.mark.parametrize("free", [0, 1, 2])
def test_more_enter_a_bucket_than_it_has_room_for(rng, free):
    """Those in it stay apart from each other, and a free place is filled."""
    search = LSHSearch(num_tables=1, bucket_size=4, num_bits=1)
    memory = np.abs(rng.normal(size=(1, 20, 1))).astype("float32")  # one side of all
    search.build((None, 20, 1))
    index = [ops.zeros((1, *shape)) for shape in search.state_shapes(20)]
    for slots in (np.arange(4 - free), np.arange(10, 15)):
        after = ops.convert_to_tensor(memory[:, slots])
        slots = ops.convert_to_tensor(slots[None])
        index = search.update(index, slots, ops.zeros_like(after), after, None)
    (entries,) = buckets_of(search, index)
    bucket = entries[np.argmax(np.sum(entries > 0, axis=1))]
    assert len(set(bucket)) == 4 and np.all(bucket > 0)
    assert np.sum(bucket > 10) == (free or 4)
    assert not np.any(entries[-1])


@pytest.mark.parametrize("bad", ["annoy", None, 3])
def test_an_unknown_search_is_refused(bad):
    with pytest.raises(ValueError, match=r"`search` must be one of \['exact', 'lsh'\]"):
        as_search(bad, None)


@pytest.mark.parametrize(
    "arguments", [{"num_tables": 0}, {"bucket_size": 1.5}, {"num_bits": 23}]
)
def test_hashes_of_no_size_are_refused(arguments):
    with pytest.raises(ValueError, match="Argument .* Received"):
        LSHSearch(**arguments)


def test_more_places_than_can_be_numbered_are_refused():
    search = LSHSearch(num_tables=64, num_bits=22)
    with pytest.raises(ValueError, match=r"fewer than 2\^31 places.*Received"):
        search.state_shapes(2**24)


def test_a_search_belongs_to_memories_of_one_size():
    search = LSHSearch(num_bits=3)
    search.prepare(100, 4)
    search.prepare(100, 4)
    with pytest.raises(ValueError, match="`search` must be a layer.*Received"):
        search.prepare(200, 4)
