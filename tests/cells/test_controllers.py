"""Controllers of our own are RNN cells as Keras's are."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients


def test_each_output_depends_on_its_own_input_alone(rng):
    inputs = random_inputs(rng)
    layer = keras.layers.RNN(keras_dnc.FeedForwardController(4), return_sequences=True)
    outputs = to_numpy(layer(inputs))
    changed = inputs.copy()
    changed[:, 2] += 1.0
    moved = np.any(to_numpy(layer(changed)) != outputs, axis=(0, 2))
    assert moved.tolist() == [False, False, True, False, False, False]


def test_it_runs_under_a_mask(rng):
    inputs, mask = random_inputs(rng), length_mask()
    layer = keras.layers.RNN(keras_dnc.FeedForwardController(4), return_sequences=True)
    masked, plain = to_numpy([layer(inputs, mask=mask), layer(inputs)])
    assert_close(masked[mask], plain[mask])
    assert_close(masked[1, 4:], np.stack([plain[1, 3]] * 2))


def test_its_config_gives_it_back():
    cell = keras_dnc.FeedForwardController(4, activation="relu")
    twin = keras_dnc.FeedForwardController.from_config(cell.get_config())
    assert twin.get_config() == cell.get_config()
    assert twin.activation is keras.activations.relu


def test_a_skip_controller_appends_a_dense_layer_of_its_inputs(rng):
    inputs, *states = (rng.normal(size=(3, n)).astype("float32") for n in (5, 4, 4))
    lstm = keras.layers.LSTMCell(4)
    cell = keras_dnc.SkipController(lstm, skip_units=2)
    cell.build((None, 5))
    kernel, bias = rng.normal(size=(5, 2)), rng.normal(size=2)
    cell.skip.set_weights([kernel, bias])
    output, states_after = to_numpy(cell(inputs, states))
    expected, expected_states = to_numpy(lstm(inputs, states))
    assert_close(output[:, :4], expected)
    assert_close(output[:, 4:], np.tanh(inputs @ kernel + bias))
    for found, right in zip(states_after, expected_states, strict=True):
        assert_close(found, right)


def test_the_config_of_a_skip_controller_gives_it_back():
    cell = keras_dnc.SkipController(keras.layers.GRUCell(4), skip_units=2)
    twin = keras_dnc.SkipController.from_config(cell.get_config())
    assert isinstance(twin.controller, keras.layers.GRUCell)
    assert (twin.output_size, twin.skip_units) == (6, 2)


@pytest.mark.parametrize("units", [0, -2, 1.5, None])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="`units` must be a positive integer"):
        keras_dnc.FeedForwardController(units)


@pytest.mark.parametrize("arguments", [{}, {"use_bias": False, "dropout": 0.3}])
def test_a_fused_lstm_gives_the_numbers_of_kerass_own(rng, arguments):
    inputs, *states = (rng.normal(size=(3, n)).astype("float32") for n in (5, 4, 4))
    fused = keras_dnc.FusedLSTMCell(4, **arguments)
    plain = keras.layers.LSTMCell.from_config(fused.get_config())
    fused.build((3, 5))
    plain.build((3, 5))
    plain.set_weights(fused.get_weights())

    def found(cell):
        def loss():
            output, states_after = cell(inputs, states, training=False)
            return sum(ops.sum(ops.sin(t)) for t in (output, *states_after))

        return value_and_gradients(loss, cell.trainable_variables)

    (value, gradients), (expected_value, expected) = found(fused), found(plain)
    assert_close(value, expected_value)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert_close(gradient, wanted)


def normalized_cell(**arguments):
    cell = keras_dnc.NormalizedLSTMCell(4, **arguments)
    cell.build((3, 5))
    return cell


def normalized(features):
    """eq. 4 of Ba et al."""
    centred = features - features.mean(-1, keepdims=True)
    return centred / np.sqrt(features.var(-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("normalization", ["joint", "separate"])
def test_a_normalized_lstm_equals_its_equations(rng, normalization):
    cell = normalized_cell(normalization=normalization)
    for variable in cell.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    inputs, output, carry = (rng.normal(size=(3, n)) for n in (5, 4, 4))
    w = {v.name: to_numpy(v.value).astype("float64") for v in cell.weights}
    gates = inputs @ w["kernel"] + output @ w["recurrent_kernel"]
    if normalization == "joint":
        gates = normalized(gates)
    else:
        gates = np.concatenate([normalized(g) for g in np.split(gates, 4, -1)], -1)
    gates = gates * w["gate_gain"].reshape(-1) + w["bias"]
    i, f, g, o = np.split(gates, 4, axis=-1)

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    after = sigmoid(f) * carry + sigmoid(i) * np.tanh(g)
    shown = normalized(after) * w["carry_gain"] + w["carry_shift"]
    states = [a.astype("float32") for a in (output, carry)]
    found, (_, found_carry) = cell(inputs.astype("float32"), states)
    assert_close(to_numpy(found_carry), after)
    assert_close(to_numpy(found), sigmoid(o) * np.tanh(shown))


def test_a_normalized_lstm_of_version_0_1_normalizes_each_gate():
    config = normalized_cell().get_config()
    assert config.pop("normalization") == "joint"
    old = keras_dnc.NormalizedLSTMCell.from_config(config)
    assert old.get_config() == {**config, "normalization": "separate"}


def test_an_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="Argument `normalization` must be one of"):
        normalized_cell(normalization="each")


@pytest.mark.parametrize("use_bias", [True, False])
def test_gates_of_a_normalized_lstm_do_not_see_how_large_its_input_is(rng, use_bias):
    inputs = rng.normal(size=(3, 5)).astype("float32")
    states = [np.zeros((3, 4), "float32")] * 2
    cell = normalized_cell(use_bias=use_bias)
    near, far = (to_numpy(cell(scale * inputs, states)[0]) for scale in (10.0, 1e4))
    assert_close(near, far, 1e-3)
    assert np.ptp(near) > 0.01


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_a_normalized_lstm_is_near_itself_in_half_precision(rng, dtype):
    inputs = 300.0 * rng.normal(size=(3, 5)).astype("float32")
    states = [np.zeros((3, 4), "float32")] * 2
    full, mixed = normalized_cell(), normalized_cell(dtype=dtype)
    mixed.set_weights(full.get_weights())
    half = [ops.cast(tensor, mixed.compute_dtype) for tensor in (inputs, *states)]
    found = ops.cast(mixed(half[0], half[1:])[0], "float32")
    assert_close(to_numpy(found), to_numpy(full(inputs, states)[0]), 0.05)


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
def test_dropout_of_a_normalized_lstm_is_one_mask_for_a_sequence(rng, name):
    layer = keras.layers.RNN(normalized_cell(**{name: 0.5}), return_sequences=True)
    inputs = random_inputs(rng)
    quiet = [to_numpy(layer(inputs)) for _ in range(2)]
    noisy = [to_numpy(layer(inputs, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert np.max(np.abs(noisy[0] - noisy[1])) > 1e-4
    assert layer.cell._dropout_mask is None
    assert layer.cell._recurrent_dropout_mask is None
