"""trace: every named state and control of a cell, step by step."""

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.inspect.trace import trace
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy


def test_a_trace_ends_in_the_state_of_the_layer(rng):
    cell = random_cell(rng, num_writes=2)
    inputs = rng.normal(size=(3, 6, 5)).astype("float32")
    seen = trace(cell, inputs)
    outputs, *states = keras.layers.RNN(cell, return_sequences=True, return_state=True)(
        inputs
    )
    final = to_numpy(cell.unflatten(states))
    assert_close(seen.output, to_numpy(outputs))
    assert_close(seen.inputs, inputs)
    assert_close(seen.read_words[:, -1], final.read_words)
    assert_close(seen.controller_1[:, -1], final.controller[1])
    # One by one and compiled, operations round differently, and two slots that are
    # nearly as free may change places: compare what the slots hold, not which.
    for name in ("memory", "usage"):
        slots, same = getattr(seen, name)[:, -1], getattr(final.access, name)
        assert_close(np.sort(slots, axis=1), np.sort(same, axis=1))


def test_a_trace_holds_every_control(rng):
    seen = trace(random_cell(rng), rng.normal(size=(3, 6, 5)))
    assert seen.free_gate.shape == (3, 6, 2)
    assert seen.read_mode.shape == (3, 6, 2, 3)
    assert seen.write_vectors.shape == (3, 6, 1, 4)
    assert_close(np.sum(seen.read_mode, axis=-1), np.ones((3, 6, 2)))


def test_a_model_is_traced_through_the_layers_before_its_cell(rng):
    cell = random_cell(rng)
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 5)(tokens)
    hidden = keras.layers.RNN(cell, return_sequences=True)(embedded)
    model = keras.Model(tokens, keras.layers.Dense(2)(hidden))
    numbers = rng.integers(0, 9, (2, 4))
    expected = keras.Model(tokens, hidden).predict(numbers, verbose=0)
    assert_close(trace(model, numbers).output, expected)


def test_a_masked_model_is_traced_as_it_runs(rng):
    inputs = keras.Input((None, 5))
    masked = keras.layers.Masking()(inputs)
    layer = keras.layers.RNN(random_cell(rng), return_sequences=True)
    model = keras.Model(inputs, layer(masked))
    sequences = rng.normal(size=(3, 6, 5)).astype("float32")
    sequences[1, 2:] = 0.0
    sequences[2, 4:] = 0.0
    expected = model.predict(sequences, verbose=0)
    assert_close(trace(model, sequences).output, expected)


def test_a_layer_that_goes_backwards_is_refused(rng):
    inputs = keras.Input((None, 5))
    layer = keras.layers.RNN(random_cell(rng), go_backwards=True, name="back")
    with pytest.raises(ValueError, match="goes forward in time.*'back'"):
        trace(keras.Model(inputs, layer(inputs)), np.zeros((2, 3, 5), "float32"))


def test_a_cell_that_was_never_built_is_refused():
    with pytest.raises(ValueError, match="`model_or_cell` must be built"):
        trace(keras_dnc.DNCCell(3, 8), np.zeros((2, 3, 5), "float32"))


@pytest.mark.parametrize("shape", [(2, 5), (2, 0, 5)])
def test_sequences_of_another_shape_are_refused(rng, shape):
    with pytest.raises(ValueError, match=r"shape \(batch, time, features\).*Received"):
        trace(random_cell(rng), np.zeros(shape, "float32"))


@pytest.mark.parametrize("what", [None, keras.layers.Dense(3)])
def test_what_has_no_memory_cell_is_refused(what):
    with pytest.raises(ValueError, match="`model_or_cell` must be a memory cell"):
        trace(what, np.zeros((2, 3, 5), "float32"))


def test_a_sparse_memory_is_traced_by_the_same_names(rng):
    cell = keras_dnc.SDNCCell(3, 8, memory_size=9, word_size=4, num_reads=2, top_k=3)
    cell.build((None, 5))
    seen = trace(cell, rng.normal(size=(2, 6, 5)).astype("float32"))
    assert seen.memory.shape == (2, 6, 9, 4)
    assert seen.read_slots.shape == (2, 6, 2, 3)
    assert seen.write_mode.shape == (2, 6, 3)
    assert seen.forward_slots.shape == (2, 6, 9, 8)
    np.testing.assert_array_equal(seen.time[0, :, 0], np.arange(1, 7))
