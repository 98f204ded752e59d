"""BiDNC: two controllers, one memory that goes forward in time."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.harness import LENGTHS
from tests.conformance.harness import OUTPUTS
from tests.conformance.harness import check_learns
from tests.conformance.harness import compile_model
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.conformance.harness import random_targets
from tests.dnc import oracle
from tests.dnc.cells import SIZES
from tests.dnc.cells import oracle_weights
from tests.numbers import assert_close
from tests.numbers import to_numpy


def layer(**arguments):
    arguments = {"return_sequences": True, **SIZES, **arguments}
    return keras_dnc.BiDNC(OUTPUTS, 8, **arguments)


class TwoControllers(oracle.DNC):
    """The oracle's DNC, with what another controller says beside its own."""

    def step(self, time, x):
        self.context = x[:6]
        return super().step(time, x[6:])

    def _control(self, seen, hidden, carry):
        units = len(self.weights["recurrent_kernel"])
        hidden, carry = super()._control(seen, hidden[:units], carry)
        return np.concatenate([hidden, self.context]), carry


def test_outputs_equal_the_equations(rng):
    bidirectional = layer(backward_controller=6)
    inputs = rng.normal(size=(1, 7, 5)).astype("float32")
    outputs = to_numpy(bidirectional(inputs))[0]
    back = oracle_lstm(bidirectional.backward_controller, inputs[0, ::-1])[::-1]
    weights = oracle_weights(bidirectional.forward_layer.cell)
    dnc = TwoControllers(weights, SIZES, oracle.softplus)
    assert_close(outputs, dnc.run(np.concatenate([back, inputs[0]], axis=1)))


def oracle_lstm(cell, inputs):
    kernel, recurrent, bias = (np.array(w, "float64") for w in cell.get_weights())
    hidden = carry = np.zeros(cell.units)
    outputs = []
    for x in inputs:
        hidden, carry = oracle.lstm(kernel, recurrent, bias, x, hidden, carry)
        outputs.append(hidden)
    return np.stack(outputs)


def test_the_first_output_knows_the_last_input(rng):
    bidirectional, inputs = layer(), random_inputs(rng)
    changed = inputs.copy()
    changed[:, -1] += 1.0
    difference = to_numpy(bidirectional(changed)) - to_numpy(bidirectional(inputs))
    assert np.min(np.max(np.abs(difference), axis=-1)) > 1e-6


@pytest.mark.parametrize("normalize", [False, True])
def test_padding_at_either_end_changes_nothing(rng, normalize):
    bidirectional, inputs = layer(normalize=normalize), random_inputs(rng)
    mask = length_mask()
    at_the_end = to_numpy(bidirectional(inputs, mask=mask))
    turned, mask_turned = inputs.copy(), mask[:, ::-1]
    for row, length in enumerate(LENGTHS):
        turned[row, -length:] = inputs[row, :length]
    at_the_start = to_numpy(bidirectional(turned, mask=mask_turned))
    for row, length in enumerate(LENGTHS):
        alone = to_numpy(bidirectional(inputs[row : row + 1, :length]))[0]
        assert_close(at_the_end[row, :length], alone)
        assert_close(at_the_start[row, -length:], alone)


@pytest.mark.slow
def test_it_learns_under_masks_and_comes_back_from_its_file(rng, tmp_path):
    options = {"normalize": True, "bypass_dropout": 0.3, "temporal_links": False}
    options["backward_controller"] = keras.layers.GRUCell(7)
    inputs = random_inputs(rng)
    inputs[~length_mask()] = 0.0
    sequences = keras.Input((None, inputs.shape[-1]))
    outputs = layer(**options)(keras.layers.Masking()(sequences))
    model = compile_model(keras.Model(sequences, outputs))
    check_learns(model, inputs, random_targets(rng))
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(inputs, verbose=0), expected)


@pytest.mark.only("tensorflow", "jax")
def test_dropout_of_both_controllers_acts_in_training_alone(rng):
    def dropping():
        return keras.layers.LSTMCell(8, dropout=0.5)

    inputs = random_inputs(rng)
    bidirectional = keras_dnc.BiDNC(OUTPUTS, dropping(), dropping(), **SIZES)
    quiet = [to_numpy(bidirectional(inputs)) for _ in range(2)]
    noisy = [to_numpy(bidirectional(inputs, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert np.max(np.abs(noisy[0] - noisy[1])) > 1e-4


def test_the_last_output_is_that_of_the_sequence(rng):
    inputs = ops.convert_to_tensor(random_inputs(rng))
    whole = layer()
    last = keras_dnc.BiDNC.from_config(
        {**whole.get_config(), "return_sequences": False}
    )
    sequence, _ = whole(inputs), last(inputs)
    last.set_weights(whole.get_weights())
    assert_close(to_numpy(last(inputs)), to_numpy(sequence)[:, -1])


def test_a_frozen_layer_stays_frozen_in_its_config():
    frozen = keras_dnc.BiDNC.from_config(layer(trainable=False).get_config())
    assert not frozen.trainable
    frozen.build((None, None, 5))
    assert not frozen.trainable_variables


@pytest.mark.parametrize("shape", [(2, 5), (2, 0, 5)])
def test_sequences_of_another_form_are_refused(shape):
    built = layer()
    built(np.zeros((2, 3, 5), "float32"))
    for layer_ in (layer(), built):
        with pytest.raises(ValueError, match="`sequences` must have shape"):
            layer_(np.zeros(shape, "float32"))


def test_one_cell_for_both_directions_is_refused():
    cell = keras.layers.GRUCell(8)
    with pytest.raises(ValueError, match="`backward_controller` must be a cell of its"):
        keras_dnc.BiDNC(3, cell, cell)


@pytest.mark.only("tensorflow", "jax")
def test_a_context_controller_leaves_no_mask_behind(rng):
    cell = keras_dnc.ContextController(keras.layers.LSTMCell(4, dropout=0.5), 2)
    recurrent = keras.layers.RNN(cell)
    for batch in (3, 2):
        inputs = rng.normal(size=(batch, 6, 5)).astype("float32")
        assert recurrent(inputs, training=True).shape == (batch, 6)
    assert cell.controller._dropout_mask is None


@pytest.mark.parametrize(
    "arguments,rule",
    [
        ({"controller": 0}, "`controller` must be a positive integer"),
        ({"backward_controller": "lstm"}, "`backward_controller` must be a positive"),
        ({"memory_size": -1}, "`memory_size` must be a positive integer"),
        ({"recompute": -1}, "`recompute` must be None, 0 or a positive integer"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        keras_dnc.BiDNC(3, **arguments)
