"""What a user sees of the sparse cells: stories, limits and errors."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import set_rows
from keras_dnc.sparse.access import SparseAccess
from keras_dnc.sparse.access import SparseControls
from keras_dnc.sparse.linked_access import LinkedAccess
from keras_dnc.sparse.linked_access import LinkedControls
from tests.numbers import to_numpy
from tests.sparse.cells import CELLS

SHARP = 200.0  # a key strength that leaves one slot
READ, LEAST_RECENT = [1.0, 0.0], [0.0, 1.0]
BACKWARD, FORWARD, CONTENT = np.eye(3)


class Story:
    """A memory of one read head, told step by step what to write and to read."""

    def __init__(self, kind=SparseAccess, memory_size=6, **options):
        sizes = {"memory_size": memory_size, "word_size": 3, "num_reads": 1, "top_k": 2}
        self.access = kind(**sizes, **options)
        shapes = self.access.state_shapes
        self.state = keras.tree.map_shape_structure(
            lambda shape: ops.zeros((1, *shape)), shapes
        )
        self.kind = LinkedControls if kind is LinkedAccess else SparseControls

    def step(self, write=None, where=LEAST_RECENT, key=(0, 0, 0), mode=CONTENT):
        controls = {
            "write_vector": [write or [0.0, 0.0, 0.0]],
            "write_gate": [[float(write is not None)]],
            "write_mode": [where],
            "read_keys": [[key]],
            "read_strengths": [[SHARP]],
        }
        if self.kind is LinkedControls:
            controls["read_mode"] = [[mode]]
        controls = {
            name: ops.convert_to_tensor(np.array(value, "float32"))
            for name, value in controls.items()
        }
        words, self.state, _ = self.access.step(self.kind(**controls), self.state)
        return np.round(to_numpy(words)[0, 0], 3)

    @property
    def memory(self):
        return np.round(to_numpy(self.state.memory)[0], 3)


A, B, C = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def test_what_was_written_is_found_by_its_content():
    story = Story()
    for word in (A, B, C):
        story.step(write=word)
    np.testing.assert_array_equal(story.step(key=B), B)
    np.testing.assert_array_equal(story.step(key=C), C)


def test_a_full_memory_forgets_what_was_accessed_least_recently():
    story = Story(memory_size=3)
    story.step(write=A, key=A)
    story.step(write=B, key=B)
    story.step(write=C, key=A)  # now B is the one
    story.step(write=[5.0, 5.0, 0.0])
    rows = story.memory.tolist()
    assert A in rows
    assert C in rows
    assert B not in rows
    assert [5.0, 5.0, 0.0] in rows


def test_the_least_recent_slot_is_wiped_even_where_nothing_is_written():
    """As in the paper: once, for it stays the least recent until it is written."""
    story = Story(memory_size=3)
    for word in (A, B, C):
        story.step(write=word, key=word)
    for _ in range(3):
        story.step(key=C)
        np.testing.assert_array_equal(story.memory, [[0, 0, 0], B, C])


def test_what_was_read_can_be_added_to():
    story = Story()
    story.step(write=A, key=A)
    story.step(key=A)
    story.step(write=C, where=READ, key=A)
    assert [1.0, 0.0, 1.0] in story.memory.tolist()


def test_links_lead_to_what_was_written_after_and_before():
    story = Story(LinkedAccess, link_top_k=6)
    for word in (A, B, C):
        story.step(write=word)
    np.testing.assert_array_equal(story.step(key=B), B)
    np.testing.assert_array_equal(story.step(mode=FORWARD), C)
    np.testing.assert_array_equal(story.step(mode=BACKWARD), B)
    np.testing.assert_array_equal(story.step(mode=BACKWARD), A)


def test_the_state_of_a_half_precision_layer_is_refused():
    inputs = np.zeros((2, 3, 5), "float32")
    for kind, policy in (("RNN", "mixed_bfloat16"), ("MemoryRNN", "float16")):
        place = keras.layers if kind == "RNN" else keras_dnc
        layer = getattr(place, kind)(keras_dnc.SAMCell(3, 8), dtype=policy)
        with pytest.raises(ValueError, match=r"`dtype` of the RNN layer must be 'floa"):
            layer(inputs)


def test_sparse_links_of_the_dnc_are_not_rounded_either():
    cell = keras_dnc.DNCCell(3, 8, link_top_k=4)
    layer = keras.layers.RNN(cell, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match=r"`dtype` of the RNN layer must be 'floa"):
        layer(np.zeros((2, 3, 5), "float32"))


def test_slots_are_told_apart_to_the_last():
    last = 2**24 - 1
    slots = ops.convert_to_tensor(np.array([[last, last - 1]], "float32"))
    rows = ops.convert_to_tensor(np.array([[1.0, 2.0]], "float32"))
    table = set_rows(ops.zeros((1, 2**24)), slots, rows)
    np.testing.assert_array_equal(to_numpy(gather_rows(table, slots)), [[1.0, 2.0]])
    np.testing.assert_array_equal(np.flatnonzero(to_numpy(table)[0]), [last - 1, last])


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"memory_size": 2**24 + 1}, r"`memory_size` must be at most 16777216"),
        ({"memory_size": 3, "top_k": 4}, r"`top_k` must be at most `memory_size`"),
        ({"top_k": 0}, r"`top_k` must be a positive integer"),
        ({"num_reads": 1.5}, r"`num_reads` must be a positive integer"),
        ({"word_size": -1}, r"`word_size` must be a positive integer"),
        ({"search": "faiss"}, r"`search` must be one of"),
        ({"strength": "exp"}, r"`strength` must be one of"),
        ({"clip_value": 0.0}, r"`clip_value` must be a positive number"),
        ({"controller": "lstm"}, r"`controller` must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message + ".*Received"):
        getattr(keras_dnc, kind)(3, **arguments)


def test_links_of_no_number_are_refused():
    with pytest.raises(ValueError, match="`link_top_k` must be a positive integer"):
        keras_dnc.SDNCCell(3, link_top_k=0)


@pytest.mark.parametrize("kind", CELLS)
def test_the_largest_memory_is_no_weight(kind):
    cell = getattr(keras_dnc, kind)(3, 8, memory_size=2**24, search="lsh")
    cell.build((None, 5))
    assert cell.count_params() < 20_000


def test_a_search_of_ones_own_is_kept_in_the_config():
    from keras_dnc.sparse.hashing import LSHSearch

    search = LSHSearch(num_tables=3, bucket_size=5, num_bits=4, seed=9)
    cell = keras_dnc.SDNCCell(3, search=search, link_top_k=5)
    twin = keras_dnc.SDNCCell.from_config(cell.get_config())
    assert twin.access.search.get_config() == search.get_config()
    assert twin.get_config() == cell.get_config()


def later(cell, states, steps):
    """The same states, after many more steps in which nothing was accessed."""
    state = cell.unflatten(states)
    access = state.access
    accesses = [ops.where(a > 0.0, a + steps, a) for a in access.accesses]
    access = access._replace(accesses=accesses, time=access.time + steps)
    return cell.flatten(state._replace(access=access))


@pytest.mark.parametrize("kind", [keras_dnc.SAMCell, keras_dnc.SDNCCell])
@pytest.mark.parametrize("border", [2**23, 2**24])
def test_a_stateful_layer_runs_on_beyond_what_float32_can_count(rng, kind, border):
    cell = kind(3, controller=8, memory_size=9, word_size=4, num_reads=2, top_k=2)
    layer = keras_dnc.MemoryRNN(cell, return_state=True)
    _, *young = layer(rng.normal(size=(2, 20, 5)).astype("float32"))
    old = later(cell, young, border - 25.0)
    for _ in range(4):
        inputs = rng.normal(size=(2, 3, 5)).astype("float32")
        expected, *young = layer(inputs, initial_state=young)
        found, *old = layer(inputs, initial_state=old)
        np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))
    assert np.max(to_numpy(cell.unflatten(old).access.time)) < border


class ScaledCell(keras_dnc.SAMCell):
    """Changes the step in the way of dense cells."""

    def step(self, inputs, state):
        return super().step(2.0 * inputs, state)


class StepWithScaledCell(keras_dnc.SAMCell):
    """Changes the step in the way of sparse cells."""

    def step_with(self, use_memory, inputs, state):
        return super().step_with(use_memory, 2.0 * inputs, state)


def test_a_step_that_would_not_be_taken_is_refused(rng):
    with pytest.raises(ValueError, match="override `step_with`, or pass"):
        keras_dnc.MemoryRNN(ScaledCell(3, 8))
    inputs = rng.normal(size=(2, 5, 4)).astype("float32")
    outputs = []
    for kind, recompute in ((ScaledCell, 0), (StepWithScaledCell, None)):
        keras.utils.set_random_seed(1)
        cell = kind(3, 8, memory_size=6, word_size=4, top_k=2)
        outputs.append(to_numpy(keras_dnc.MemoryRNN(cell, recompute)(inputs)))
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)
