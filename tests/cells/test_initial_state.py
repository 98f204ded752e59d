"""The first states of a cell by name, from features, and back again."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.numbers import assert_close
from tests.numbers import to_numpy

STATIC = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")
WORDS = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
SIZES = {"controller": 8, "memory_size": 7, "word_size": 4}
CELLS = {"DNCCell": {}, "NTMCell": {}, "SAMCell": {"top_k": 2}}


def cell_of(kind):
    cell = getattr(keras_dnc, kind)(3, **SIZES, **CELLS[kind])
    cell.build((None, 6))
    return cell


@pytest.mark.parametrize("kind", CELLS)
def test_named_states_are_taken_and_the_others_are_those_of_the_start(kind):
    cell = cell_of(kind)
    memory = np.random.default_rng(1).normal(size=(2, 7, 4)).astype("float32")
    for given in (memory, memory.reshape(2, 28)):
        states = cell.start_from({"memory": ops.convert_to_tensor(given)})
        assert [tuple(state.shape) for state in states] == [
            (2, size) for size in cell.state_size
        ]
        named = cell.unflatten(states)
        assert_close(to_numpy(named.access.memory), memory)
        fresh = cell.initial_state(2)
        access = fresh.access._replace(memory=memory)
        expected = cell.flatten(fresh._replace(access=access))
        for one, other in zip(states, expected, strict=True):
            assert_close(to_numpy(one), to_numpy(other))


def image_caption_model():
    """Words after a picture, whose features are the first state of the LSTM."""
    static, words = (
        keras.Input((3,), name="static"),
        keras.Input((None, 6), name="words"),
    )
    cell = cell_of("DNCCell")
    first = {
        name: keras.layers.Dense(8, activation="tanh")(static)
        for name in ("controller_0", "controller_1")
    }
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True)
    outputs = layer(words, initial_state=first)
    return keras.Model([static, words], outputs)


def test_a_functional_model_starts_from_features_and_learns_through_them(tmp_path):
    model = image_caption_model()
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch([STATIC, WORDS], np.ones((2, 5, 3)))
    changed = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(changed)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    data = [STATIC, WORDS]
    assert_close(loaded.predict_on_batch(data), model.predict_on_batch(data))
    other = model.predict_on_batch([STATIC[::-1], WORDS])
    assert np.max(np.abs(other - model.predict_on_batch(data))) > 1e-4


@pytest.mark.parametrize(
    "states,words",
    [
        ({}, r"must be a dict .*'memory'.*Received: states=\{\}"),
        ([np.ones((2, 8))], "must be a dict"),
        ({"memery": np.ones((2, 28))}, r"\['memery'\]"),
        ({"memory": np.ones((2, 4, 7))}, r"states\['memory'\].*\(batch, 7, 4\)"),
        ({"memory": np.ones((2, 27))}, r"states\['memory'\].*\(batch, 28\)"),
    ],
)
def test_wrong_states_are_refused_by_name(states, words):
    with pytest.raises(ValueError, match=words):
        cell_of("DNCCell").start_from(states)


def test_a_cell_without_names_is_refused():
    layer = keras_dnc.MemoryRNN(keras.layers.LSTMCell(3))
    with pytest.raises(ValueError, match="must be a list unless the cell is a memory"):
        layer(WORDS, initial_state={"memory": np.ones((2, 3))})


def run(cell, words, states):
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True, return_state=True)
    return layer(words, initial_state=states)


@pytest.mark.parametrize("kind", CELLS)
def test_finished_episodes_start_again_and_the_others_go_on(kind):
    cell = cell_of(kind)
    _, *states = run(cell, WORDS, None)
    named = cell.reset(cell.unflatten(states), where=np.array([True, False]))
    for is_named, state in ((True, named), (False, cell.reset(states, [True, False]))):
        flat = cell.flatten(state) if is_named else state
        outputs = to_numpy(run(cell, WORDS, flat)[0])
        assert_close(outputs[0], to_numpy(run(cell, WORDS, None)[0])[0])
        assert_close(outputs[1], to_numpy(run(cell, WORDS, states)[0])[1])
        assert np.max(np.abs(outputs - to_numpy(run(cell, WORDS, states)[0]))) > 1e-3


def test_one_boolean_for_each_sequence_is_needed():
    cell = cell_of("DNCCell")
    with pytest.raises(ValueError, match=r"`where` must have shape \(2\)"):
        cell.reset(cell.initial_state(2), where=[True])
