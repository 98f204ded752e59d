"""MemoryRNN stands in for keras.layers.RNN: the same arguments, numbers and weights."""

import keras
import numpy as np
import pytest
from keras import ops
from keras import tree

import keras_dnc
from tests.conformance.harness import check_same
from tests.conformance.harness import compile_model
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy

ARGUMENTS = {
    "masked": ({"return_sequences": True, "return_state": True}, length_mask()),
    "last output": ({}, None),
    "backward": ({"return_sequences": True, "go_backwards": True}, length_mask()),
    "zeros for masked": (
        {"return_sequences": True, "zero_output_for_mask": True},
        length_mask(),
    ),
    "unrolled": ({"return_state": True, "unroll": True}, None),
}


@pytest.mark.parametrize("flags,mask", ARGUMENTS.values(), ids=ARGUMENTS)
def test_it_gives_the_numbers_of_the_plain_layer(rng, flags, mask):
    cell, inputs = random_cell(rng), random_inputs(rng)
    plain = keras.layers.RNN(cell, **flags)(inputs, mask=mask)
    ours = keras_dnc.MemoryRNN(cell, **flags)(inputs, mask=mask)
    check_same(tree.flatten(ours), tree.flatten(plain))


@pytest.mark.parametrize(
    "kind", [keras_dnc.DNCCell, keras_dnc.NTMCell, keras_dnc.MANNCell]
)
@pytest.mark.parametrize("flags", [{}, {"return_sequences": True}])
def test_a_single_output_keeps_its_axis(rng, kind, flags):
    cell, inputs = kind(1, controller=5, memory_size=4, word_size=3), random_inputs(rng)
    plain = keras.layers.RNN(cell, **flags)(inputs)
    ours = keras_dnc.MemoryRNN(cell, **flags)(inputs)
    assert tuple(ours.shape) == tuple(plain.shape)
    check_same(ours, plain)


def test_a_stateful_layer_goes_on_where_it_was(rng):
    cell, inputs = random_cell(rng), random_inputs(rng)
    whole = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True, stateful=True)
    parts = [layer(inputs[:, :2]), layer(inputs[:, 2:])]
    check_same(ops.concatenate(parts, axis=1), whole)


def test_a_bidirectional_layer_takes_it_both_ways(rng):
    def around(kind):
        layer = kind(random_cell(np.random.default_rng(2)), return_sequences=True)
        both = keras.layers.Bidirectional(layer)
        outputs = both(inputs, mask=length_mask())
        return both, outputs

    inputs = random_inputs(rng)
    plain, _ = around(keras.layers.RNN)
    ours, _ = around(keras_dnc.MemoryRNN)
    ours.set_weights(plain.get_weights())
    check_same(
        ours(inputs, mask=length_mask()), plain(inputs, mask=length_mask()), 1e-5
    )


def test_it_takes_over_the_weights_of_the_plain_layer(rng):
    plain = keras.layers.RNN(random_cell(rng))
    ours = keras_dnc.MemoryRNN(random_cell(rng))
    inputs = random_inputs(rng)
    expected = plain(inputs)
    ours(inputs)
    ours.set_weights(plain.get_weights())
    check_same([ours(inputs)], [expected])


@pytest.mark.slow
@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("jit_compile,recompute", [(False, 4), (True, None)])
def test_a_model_of_unknown_length_trains_with_masks(rng, jit_compile, recompute):
    inputs = keras.Input((None, 5))
    masked = keras.layers.Masking()(inputs)
    layer = keras_dnc.MemoryRNN(
        random_cell(rng), recompute=recompute, return_sequences=True
    )
    model = keras.Model(inputs, layer(masked))
    compile_model(model, jit_compile)
    for time in (6, 3):
        sequences = random_inputs(rng, time=time)
        sequences[1, time - 2 :] = 0.0
        targets = np.zeros((len(sequences), time, 3), "float32")
        losses = [model.train_on_batch(sequences, targets) for _ in range(6)]
        assert np.all(np.isfinite(losses))
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("value", [-1, 1.5, 0.0, True, False, "all"])
def test_chunks_of_no_size_are_refused(value):
    rule = r"`recompute` must be None, 0 or a positive integer. Received: recompute="
    with pytest.raises(ValueError, match=rule):
        keras_dnc.MemoryRNN(keras_dnc.DNCCell(3, 8), recompute=value)


@pytest.mark.parametrize("among_others", [False, True])
def test_a_layer_that_runs_a_cell_is_no_cell(among_others):
    layer = keras.layers.LSTM(4)
    with pytest.raises(ValueError, match="`cell` must be an RNN cell.*cell=<LSTM "):
        keras_dnc.MemoryRNN([keras.layers.GRUCell(3), layer] if among_others else layer)


def test_its_config_gives_the_layer_back():
    cell = keras_dnc.DNCCell(3, 8)
    layer = keras_dnc.MemoryRNN(cell, recompute=7, return_sequences=True)
    twin = keras_dnc.MemoryRNN.from_config(layer.get_config())
    assert twin.return_sequences
    assert twin.recompute == 7
    assert twin.cell.get_config() == layer.cell.get_config()


def test_a_model_refuses_sequences_of_length_0(rng):
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, keras_dnc.MemoryRNN(random_cell(rng))(inputs))
    with pytest.raises(ValueError, match="time at least 1"):
        model.predict(np.zeros((2, 0, 5), "float32"), verbose=0)


@pytest.mark.only("tensorflow")
def test_a_variable_of_tensorflow_is_an_input(rng):
    import tensorflow as tf

    layer = keras_dnc.MemoryRNN(random_cell(rng))
    inputs = rng.normal(size=(2, 3, 5)).astype("float32")
    assert_close(to_numpy(layer(tf.Variable(inputs))), to_numpy(layer(inputs)))


def two_cells():
    """A memory cell and a cell of Keras."""
    small = {"controller": 8, "memory_size": 6, "word_size": 4}
    return [keras_dnc.DNCCell(4, **small), keras.layers.LSTMCell(4)]


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5, 1), (2, 0, 5)])
def test_sequences_of_another_rank_are_named_before_the_cell_is_built(shape):
    for cell in two_cells():
        with pytest.raises(
            ValueError, match="`sequences` must have shape .batch, time"
        ):
            keras_dnc.MemoryRNN(cell)(np.zeros(shape, "float32"))


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (3, 3), (2, 3, 1), (2,)])
def test_a_mask_must_fit_the_sequences(shape):
    for cell in two_cells():
        with pytest.raises(ValueError, match=r"`mask` must have shape \(2, 3\)"):
            keras_dnc.MemoryRNN(cell)(
                np.zeros((2, 3, 5), "float32"), mask=np.ones(shape, bool)
            )


def test_states_must_have_the_batch_size_of_the_sequences():
    for cell in two_cells():
        states = cell.get_initial_state(4)
        with pytest.raises(
            ValueError, match=r"`initial_state` must have shape \(2, si"
        ):
            keras_dnc.MemoryRNN(cell)(
                np.zeros((2, 3, 5), "float32"), initial_state=states
            )
