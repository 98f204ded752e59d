"""The contract of a dense memory: who breaks it is told so."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc


class SlotState(NamedTuple):
    memory: keras.KerasTensor


class SlotAccess(keras_dnc.Access):
    """Adds a word to a slot, and reads that slot."""

    def __init__(self, memory_size=5, word_size=4, num_reads=1, **kwargs):
        super().__init__(memory_size, word_size, num_reads, **kwargs)
        self.create_interface()

    @property
    def state_shapes(self):
        return SlotState((self.memory_size, self.word_size))

    @property
    def control_shapes(self):
        return {
            "slot": ((1, self.memory_size), "softmax"),
            "word": ((1, self.word_size), "tanh"),
        }

    def address(self, controls, state, found):
        return {"weights": controls.slot}

    def write(self, controls, state, found):
        return {"memory": state.memory + found.weights[:, 0, :, None] * controls.word}

    def read(self, controls, state, found):
        return {"read_words": ops.matmul(found.weights, found.memory)}


class WritesMore(SlotAccess):
    def write(self, controls, state, found):
        return {**super().write(controls, state, found), "total": controls.word}


class FlatWords(SlotAccess):
    def read(self, controls, state, found):
        return {"read_words": super().read(controls, state, found)["read_words"][:, 0]}


class NoWords(SlotAccess):
    def read(self, controls, state, found):
        return {}


class NoWrite(SlotAccess):
    write = keras_dnc.Access.write


def step(access):
    inputs = np.ones((2, 3), "float32")
    return access(inputs, access.get_initial_state(batch_size=2))


@pytest.mark.parametrize(
    "kind,message",
    [
        (WritesMore, r"`write` of WritesMore must return states alone.*'total'"),
        (FlatWords, r"`read_words` of shape \(batch, 1, 4\).*\(2, 4\)"),
        (NoWords, r"`read_words` of shape \(batch, 1, 4\).*None"),
    ],
)
def test_a_part_that_returns_something_else_is_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        step(kind())


def test_a_part_that_is_missing_is_named():
    with pytest.raises(NotImplementedError, match="NoWrite has no part `write`"):
        step(NoWrite())


def test_what_is_written_is_read():
    words, state = step(SlotAccess())
    assert tuple(words.shape) == (2, 1, 4)
    assert np.any(ops.convert_to_numpy(state.memory) != 0.0)


def test_the_constructors_arguments_are_the_config():
    access = SlotAccess(7, 3, num_reads=1)
    config = access.get_config()
    assert {config[n] for n in ("memory_size", "word_size", "num_reads")} == {7, 3, 1}
