"""MemoryAccess: stories in which every control is planted."""

import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.dnc.stories import BACKWARD
from tests.dnc.stories import FORWARD
from tests.dnc.stories import SLOTS
from tests.dnc.stories import WORD
from tests.dnc.stories import controls
from tests.dnc.stories import play
from tests.numbers import assert_close
from tests.numbers import to_numpy

WORDS = np.eye(WORD, dtype="float32")[:3]


def access_layer():
    return keras_dnc.MemoryAccess(SLOTS, WORD, num_reads=1)


def test_what_was_written_in_order_is_read_in_order():
    writes = [controls(write=word) for word in WORDS]
    look = [controls(read_key=WORDS[0])] + [controls(mode=FORWARD)] * 2
    said, _ = play(access_layer(), writes + look)
    assert_close(said[3:], WORDS, 1e-3)


def test_what_was_written_in_order_is_read_backward():
    writes = [controls(write=word) for word in WORDS]
    look = [controls(read_key=WORDS[2])] + [controls(mode=BACKWARD)] * 2
    said, _ = play(access_layer(), writes + look)
    assert_close(said[3:], WORDS[::-1], 1e-3)


def slots_with(state, word):
    """Numbers of the slots that hold `word`."""
    distances = np.max(np.abs(state.memory[0] - word), axis=-1)
    return set(np.flatnonzero(distances < 1e-2))


def test_allocation_gives_each_word_a_slot_of_its_own():
    _, state = play(access_layer(), [controls(write=word) for word in WORDS])
    slots = [slots_with(state, word) for word in WORDS]
    assert [len(found) for found in slots] == [1, 1, 1]
    assert len(set.union(*slots)) == 3


def test_what_was_read_and_freed_is_overwritten_in_a_full_memory():
    new = np.ones(WORD, "float32")
    story = [controls(write=WORDS[i // 2]) for i in range(6)]
    _, full = play(access_layer(), story)
    story += [controls(read_key=WORDS[1]), controls(write=new, free=1.0)]
    _, state = play(access_layer(), story)
    freed = slots_with(full, WORDS[1])
    assert len(freed) == 2
    assert set(np.argsort(-state.write_weights[0, 0])[:2]) == freed
    for kept in (WORDS[0], WORDS[2]):
        assert slots_with(state, kept) == slots_with(full, kept)


def test_writing_by_content_goes_to_the_slot_of_that_content():
    story = [controls(write=word) for word in WORDS]
    _, before = play(access_layer(), story)
    _, state = play(access_layer(), [*story, controls(WORDS[1], by_content=True)])
    written = set(np.flatnonzero(state.write_weights[0, 0] > 0.5))
    assert written == slots_with(before, WORDS[1])
    assert len(written) == 1


def test_a_closed_write_gate_leaves_the_memory_alone():
    story = [controls(write=word) for word in WORDS]
    _, before = play(access_layer(), story)
    _, after = play(access_layer(), [*story, controls(read_key=WORDS[0])])
    assert_close(after.memory, before.memory)
    assert np.sum(after.write_weights) == 0.0


def test_call_steps_with_the_controls_of_its_interface(rng):
    access = access_layer()
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 9)).astype("float32"))
    state = access.get_initial_state(batch_size=2)
    words, after = access(inputs, state)
    same_words, same_after, _ = access.step(access.controls(inputs), state)
    assert_close(to_numpy(words), to_numpy(same_words))
    assert_close(to_numpy(after.memory), to_numpy(same_after.memory))


def test_controls_are_in_their_ranges(rng):
    access = keras_dnc.MemoryAccess(6, 3, num_reads=2, num_writes=2)
    access.build((None, 9))
    inputs = ops.convert_to_tensor(5.0 * rng.normal(size=(4, 9)).astype("float32"))
    c = to_numpy(access.controls(inputs))
    for gate in (c.erase_vectors, c.free_gate, c.allocation_gate, c.write_gate):
        assert np.all((gate >= 0) & (gate <= 1))
    assert c.read_mode.shape == (4, 2, 5)
    assert_close(c.read_mode.sum(-1), np.ones((4, 2)))


def test_a_state_of_the_wrong_shape_is_named():
    access = access_layer()
    state = access.get_initial_state(batch_size=2)._replace(usage=np.zeros((2, 7)))
    with pytest.raises(ValueError, match="`state.usage` must have shape"):
        access(np.zeros((2, 9), "float32"), state)


@pytest.mark.parametrize(
    "name", ["memory_size", "word_size", "num_reads", "num_writes"]
)
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
def test_sizes_must_be_positive_integers(name, value):
    rule = f"`{name}` must be a positive integer. Received: {name}={value!r}"
    with pytest.raises(ValueError, match=rule):
        keras_dnc.MemoryAccess(**{name: value})
