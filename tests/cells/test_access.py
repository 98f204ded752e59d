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
    config = SlotAccess(7, 3, num_reads=1).get_config()
    assert {config[n] for n in ("memory_size", "word_size", "num_reads")} == {7, 3, 1}
    assert SlotAccess.from_config(config).get_config() == config


class DoublingCell(keras_dnc.AccessCell):
    """A cell with another step and the constructor of `AccessCell`."""

    def step(self, inputs, state):
        return super().step(2.0 * inputs, state)


def test_a_cell_with_another_step_comes_back_from_its_config():
    cell = DoublingCell(3, 4, SlotAccess(7, 3))
    objects = {"SlotAccess": SlotAccess}
    with keras.saving.custom_object_scope(objects):
        twin = DoublingCell.from_config(cell.get_config())
    assert twin.get_config() == cell.get_config()


class LazyCell(keras.Layer):
    """A cell whose layer would be built in its first call."""

    state_size = output_size = 4

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, inputs, states):
        return self.dense(inputs), states


class BuiltCell(LazyCell):
    def build(self, input_shape):
        self.dense.build(input_shape)


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer")
def test_a_controller_must_build_its_layers():
    inputs = keras.Input((6, 2))
    with pytest.raises(ValueError, match="must build all of their layers.*name=dense"):
        keras.layers.RNN(keras_dnc.DNCCell(3, LazyCell(), memory_size=5))(inputs)
    built = keras_dnc.MemoryRNN(keras_dnc.DNCCell(3, BuiltCell(), memory_size=5))
    assert built(inputs).shape == (None, 3)
