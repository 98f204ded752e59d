"""Every way Keras users train a recurrent layer works."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.cases import SKIPPED_IN_FITS
from tests.conformance.cases import case
from tests.conformance.cases import cells
from tests.conformance.cases import ntm_and_dnc
from tests.conformance.cases import ntm_and_sam
from tests.conformance.cases import trained_cell
from tests.conformance.harness import BATCH
from tests.conformance.harness import FEATURES
from tests.conformance.harness import LENGTHS
from tests.conformance.harness import OUTPUTS
from tests.conformance.harness import TIME
from tests.conformance.harness import check_learns
from tests.conformance.harness import check_same
from tests.conformance.harness import compile_model
from tests.conformance.harness import dtype_policy
from tests.conformance.harness import full_rnn
from tests.conformance.harness import functional_model
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.conformance.harness import random_targets
from tests.conformance.harness import rnn_policy
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

graph_backends = pytest.mark.only("tensorflow", "jax")


class Wrapper(keras.Model):
    """A subclassed model around a cell."""

    def __init__(self, cell):
        super().__init__()
        self.rnn = keras.layers.RNN(cell, return_sequences=True)
        self.head = keras.layers.Dense(OUTPUTS)

    def call(self, inputs):
        return self.head(self.rnn(inputs))


@ntm_and_dnc
def test_fit_of_a_subclassed_model(make, rng):
    model = compile_model(Wrapper(make()))
    check_learns(model, random_inputs(rng), random_targets(rng))


@trained_cell
def test_fit_with_masks(make, rng):
    inputs = random_inputs(rng)
    inputs[~length_mask()] = 0.0
    sequences = keras.Input((None, inputs.shape[-1]))
    masked = keras.layers.Masking()(sequences)
    outputs = keras.layers.RNN(make(), return_sequences=True)(masked)
    model = compile_model(keras.Model(sequences, outputs))
    check_learns(model, inputs, random_targets(rng))


@ntm_and_sam
@pytest.mark.only("tensorflow")  # on JAX every fit is compiled
def test_fit_with_xla_gives_the_same_losses(make, rng):
    inputs, targets = random_inputs(rng), random_targets(rng)
    histories = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(4)
        model = compile_model(functional_model(make()), jit_compile)
        histories.append(check_learns(model, inputs, targets, epochs=4))
    np.testing.assert_allclose(*histories, rtol=1e-3)


@ntm_and_dnc
@graph_backends
def test_the_same_seed_gives_the_same_run(make, rng):
    inputs, targets = random_inputs(rng), random_targets(rng)
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        dropping = make(controller=keras.layers.LSTMCell(8, dropout=0.3))
        model = compile_model(functional_model(dropping))
        check_learns(model, inputs, targets, epochs=6)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@ntm_and_sam
@graph_backends
def test_one_compiled_model_takes_sequences_of_any_length(make, rng):
    model = compile_model(functional_model(make()), jit_compile=True)
    for time in (3, 5):
        inputs, targets = random_inputs(rng, time=time), random_targets(rng, time=time)
        assert np.isfinite(model.train_on_batch(inputs, targets))
        assert model.predict_on_batch(inputs).shape == (BATCH, time, OUTPUTS)


@graph_backends
@pytest.mark.parametrize(
    "make,policy",
    [
        case("ntm", "mixed_float16"),
        case("sam", "mixed_bfloat16"),
        case("dnc-improved-two-writes-gru", "mixed_bfloat16", skipped=SKIPPED_IN_FITS),
    ],
)
def test_mixed_precision_trains_and_keeps_the_memory_in_float32(make, rng, policy):
    with dtype_policy(policy):
        cell = make()
        model = compile_model(functional_model(cell, **rnn_policy(cell)))
    assert {s.dtype for s in cell.get_initial_state(batch_size=2)} <= {
        ops.zeros(1, "float32").dtype
    }
    assert cell.compute_dtype == "float32"
    assert cell.controller.compute_dtype == policy.removeprefix("mixed_")
    check_learns(model, random_inputs(rng), random_targets(rng))


@trained_cell
@graph_backends
def test_mixed_precision_is_near_full_precision(make, rng):
    inputs = random_inputs(rng)
    full = functional_model(make())
    with dtype_policy("mixed_bfloat16"):
        cell = make()
        mixed = functional_model(cell, **rnn_policy(cell))
    mixed.set_weights(full.get_weights())
    expected, actual = (m.predict(inputs, verbose=0) for m in (full, mixed))
    assert_close(actual, expected, 0.05)
    assert np.max(np.abs(actual - expected)) > 0.0


@trained_cell
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@graph_backends
def test_states_of_half_precision_can_be_named(make, rng, policy):
    with dtype_policy(policy):
        cell = make()
        layer = full_rnn(cell, **rnn_policy(cell))
        _, *states = layer(random_inputs(rng))
    named = cell.unflatten(states)
    assert tuple(named.access.memory.shape) == (BATCH, 7, 4)
    flat = cell.flatten(named)
    assert all(np.all(np.isfinite(to_numpy(state))) for state in flat)
    check_same(flat, states)


@pytest.mark.parametrize("order", [("dnc", "dnc"), ("dnc", "lstm"), ("lstm", "dnc")])
@graph_backends
def test_memory_rnn_stacks_cells_under_mixed_precision(rng, order):
    with dtype_policy("mixed_bfloat16"):
        inputs = keras.Input((None, 5))
        cells = [
            keras.layers.LSTMCell(3)
            if kind == "lstm"
            else random_cell(rng, input_size=5 if place == 0 else 3)
            for place, kind in enumerate(order)
        ]
        outputs = keras_dnc.MemoryRNN(cells, return_sequences=True)(inputs)
        model = compile_model(keras.Model(inputs, outputs))
    check_learns(model, random_inputs(rng), random_targets(rng)[:, :, :3])


@trained_cell
@graph_backends
def test_dropout_in_the_controller_acts_in_training_alone(make, rng):
    dropping = make(controller=keras.layers.LSTMCell(8, dropout=0.5))
    layer = keras.layers.RNN(dropping, return_sequences=True)
    inputs = random_inputs(rng)
    quiet = [to_numpy(layer(inputs)) for _ in range(2)]
    noisy = [to_numpy(layer(inputs, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert np.max(np.abs(noisy[0] - noisy[1])) > 1e-4
    assert np.max(np.abs(noisy[0] - quiet[0])) > 1e-4


@ntm_and_dnc
@graph_backends
def test_fit_with_dropout_in_a_stacked_controller_and_in_its_bypass(make, rng):
    cells = [
        keras.layers.LSTMCell(6, dropout=0.2, recurrent_dropout=0.2),
        keras.layers.GRUCell(5, dropout=0.2),
    ]
    controller = keras.layers.StackedRNNCells(cells)
    cell = make(controller=controller, bypass_dropout=0.2)
    model = compile_model(functional_model(cell), True)
    check_learns(model, random_inputs(rng), random_targets(rng), epochs=12)


@trained_cell
@graph_backends
def test_a_stateful_layer_goes_on_and_starts_afresh_after_reset(make, rng):
    inputs = random_inputs(rng)
    model = functional_model(make(), batch=BATCH, stateful=True)
    whole = to_numpy(model(inputs))
    model.layers[-1].reset_state()
    parts = [to_numpy(model(part)) for part in (inputs[:, :2], inputs[:, 2:])]
    assert_close(np.concatenate(parts, axis=1), whole)
    model.layers[-1].reset_state()
    assert_close(to_numpy(model(inputs)), whole)


@ntm_and_sam
@graph_backends
def test_fit_of_a_stateful_layer(make, rng):
    model = functional_model(make(), time=TIME, batch=BATCH, stateful=True)
    check_learns(compile_model(model), random_inputs(rng), random_targets(rng))


@ntm_and_dnc
@graph_backends
def test_fit_of_a_bidirectional_layer(make, rng):
    inputs = keras.Input((None, 5))
    layer = keras.layers.RNN(make(), return_sequences=True)
    outputs = keras.layers.Bidirectional(layer, merge_mode="sum")(inputs)
    model = compile_model(keras.Model(inputs, outputs))
    check_learns(model, random_inputs(rng), random_targets(rng))


@ntm_and_sam
@graph_backends
def test_a_bidirectional_layer_never_sees_padding(make, rng):
    inputs, mask = random_inputs(rng), length_mask()
    layer = keras.layers.RNN(make(), return_sequences=True)
    both = keras.layers.Bidirectional(layer)
    outputs = to_numpy(both(inputs, mask=mask))
    for row, length in enumerate(LENGTHS):
        alone = to_numpy(both(inputs[row : row + 1, :length]))
        assert_close(outputs[row, :length], alone[0])


@ntm_and_dnc
@graph_backends
def test_fit_of_stacked_cells_and_of_stacked_layers(make, rng):
    inputs = keras.Input((None, 5))
    hidden = keras.layers.Masking()(inputs)
    hidden = keras.layers.RNN([make(), make()], return_sequences=True)(hidden)
    outputs = keras.layers.RNN(make(), return_sequences=True)(hidden)
    model = compile_model(keras.Model(inputs, outputs))
    check_learns(model, random_inputs(rng), random_targets(rng))


@cells("mann-sharp", "dnc-content-normalized")
@pytest.mark.parametrize("scale", [1e-30, 1e-3])
def test_gradients_of_nearly_blank_steps_are_bounded(make, rng, scale):
    layer = keras_dnc.MemoryRNN(make())
    inputs = keras.Variable(scale * rng.normal(size=(2, 15, 5)))
    layer(inputs.value)
    variables = [inputs, *layer.trainable_variables]
    _, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(1.0 * inputs.value) - 1.0)), variables
    )
    assert max(np.max(np.abs(gradient)) for gradient in gradients) < 100.0


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("kind", [keras.layers.RNN, keras_dnc.MemoryRNN])
def test_training_without_xla_is_warned_of(rng, kind):
    inputs, targets = random_inputs(rng), random_targets(rng)[:, -1]
    cell = keras_dnc.MANNCell(OUTPUTS, memory_size=7)
    model = keras.Sequential([keras.Input((None, FEATURES)), kind(cell)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_model(model, jit_compile=True).fit(inputs, targets, verbose=0)
        compile_model(model).predict(inputs, verbose=0)
    with pytest.warns(UserWarning, match="without XLA.*`jit_compile=True`"):
        compile_model(model).fit(inputs, targets, verbose=0)
