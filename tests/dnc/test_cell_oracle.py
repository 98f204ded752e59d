"""DNCCell against the float64 oracle: the paper's forms and deepmind/dnc's."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

from tests.dnc import oracle
from tests.dnc.cells import SIZES
from tests.dnc.cells import oracle_weights
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

STRENGTHS = {"softplus": oracle.softplus, "oneplus": oracle.oneplus}
TIME, INPUT = 9, 5
IMPROVED = {
    "masked_content": {"masked_content": True},
    "mask_floor": {"masked_content": True, "mask_floor": 0.1},
    "deallocate": {"deallocate": True},
    "link_sharpness": {"link_sharpness": True},
    "normalize": {"normalize": True},
    "temporal_links": {"temporal_links": False},
    "all with links": {
        "masked_content": True,
        "mask_floor": 0.1,
        "deallocate": True,
        "link_sharpness": True,
        "normalize": True,
    },
    "all without links": {
        "masked_content": True,
        "deallocate": True,
        "normalize": True,
        "temporal_links": False,
    },
}


def of_the_oracle(options):
    names = ("mask_floor", "deallocate", "temporal_links")
    return {name: options[name] for name in names if name in options}


def mean_square(weights, inputs, frozen_writes=None, **options):
    dnc = oracle.DNC(
        weights, SIZES, oracle.oneplus, frozen_writes=frozen_writes, **options
    )
    return np.mean(np.square(dnc.run(inputs))), dnc.write_history


@pytest.mark.parametrize("strength", STRENGTHS)
def test_outputs_and_states_equal_the_equations(rng, strength):
    cell = random_cell(rng, INPUT, strength=strength)
    inputs = rng.normal(size=(3, TIME, INPUT)).astype("float32")
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    outputs, *states = layer(inputs)
    state = to_numpy(cell.unflatten(states))
    for sequence in range(3):
        dnc = oracle.DNC(oracle_weights(cell), SIZES, STRENGTHS[strength])
        assert_close(to_numpy(outputs)[sequence], dnc.run(inputs[sequence]))
        assert_close(state.read_words[sequence], dnc.read_words)
        access = state.access
        assert_close(access.memory[sequence], dnc.memory)
        assert_close(access.usage[sequence], dnc.usage)
        assert_close(access.link[sequence, 0], dnc.link)
        assert_close(access.precedence_weights[sequence, 0], dnc.precedence)
        assert_close(access.read_weights[sequence], dnc.read_weights)
        assert_close(access.write_weights[sequence, 0], dnc.write_weights)


@pytest.mark.parametrize("options", IMPROVED.values(), ids=IMPROVED)
def test_every_improvement_equals_its_equations(rng, options):
    cell = random_cell(rng, INPUT, **options)
    inputs = rng.normal(size=(2, TIME, INPUT)).astype("float32")
    # Rows that differ: of equal ones, rounding would choose the first to be written.
    memory = rng.normal(size=(2, 7, 4)).astype("float32")
    usage = rng.random((2, 7)).astype("float32")
    state = cell.unflatten(cell.get_initial_state(batch_size=2))
    access = state.access._replace(memory=memory, usage=usage)
    first = cell.flatten(state._replace(access=access))
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    outputs, *states = layer(inputs, initial_state=first)
    access = to_numpy(cell.unflatten(states)).access
    for sequence in range(2):
        dnc = oracle.DNC(
            oracle_weights(cell), SIZES, oracle.softplus, **of_the_oracle(options)
        )
        dnc.memory, dnc.usage = (a[sequence].astype("float64") for a in (memory, usage))
        assert_close(to_numpy(outputs)[sequence], dnc.run(inputs[sequence]))
        assert_close(access.memory[sequence], dnc.memory)
        assert_close(access.read_weights[sequence], dnc.read_weights)


GRADIENTS = {
    "the paper's": {"usage_gradient": True},
    "deepmind/dnc's": {"usage_gradient": False},
    "all with links": {"usage_gradient": True, **IMPROVED["all with links"]},
    "all without links": IMPROVED["all without links"],
}


@pytest.mark.parametrize("options", GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_equal_finite_differences_of_the_equations(rng, options):
    cell = random_cell(rng, INPUT, strength="oneplus", **options)
    inputs = rng.normal(size=(TIME, INPUT))
    layer = keras.layers.RNN(cell, return_sequences=True)
    batch = ops.convert_to_tensor(inputs[None].astype("float32"))
    variables = [cell.controller.bias, cell.access.interface.dense.bias]
    _, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(batch))), variables
    )
    weights = oracle_weights(cell)
    named = of_the_oracle(options)
    _, writes = mean_square(weights, inputs, **named)
    frozen = None if options.get("usage_gradient") else writes
    columns = cell.access.interface.columns
    biases = {"bias": lambda w: w["bias"]} | {
        name: lambda w, name=name: w["interface"][name][1] for name in columns
    }
    expected = {
        name: finite_difference(weights, bias, inputs, frozen, **named)
        for name, bias in biases.items()
    }
    assert_close(gradients[0], expected.pop("bias"), 1e-4)
    assert_close(gradients[1], np.concatenate(list(expected.values())), 1e-4)


def finite_difference(weights, bias, inputs, frozen_writes, **options):
    """Gradient of `mean_square` with respect to the vector `bias(weights)`."""
    gradient = np.zeros_like(bias(weights))
    for index in range(len(gradient)):
        values = []
        for step in (1e-5, -1e-5):
            moved = copy.deepcopy(weights)
            bias(moved)[index] += step
            values.append(mean_square(moved, inputs, frozen_writes, **options)[0])
        gradient[index] = (values[0] - values[1]) / 2e-5
    return gradient


def test_usage_gradient_changes_gradients_but_no_value(rng):
    inputs = ops.convert_to_tensor(rng.normal(size=(2, TIME, INPUT)).astype("float32"))
    results = []
    for usage_gradient in (True, False):
        cell = random_cell(
            np.random.default_rng(3), INPUT, usage_gradient=usage_gradient
        )
        layer = keras.layers.RNN(cell, return_sequences=True)
        results.append(
            value_and_gradients(
                lambda layer=layer: ops.mean(ops.square(layer(inputs))),
                cell.trainable_variables,
            )
        )
    (value, gradients), (same_value, other_gradients) = results
    assert value == pytest.approx(same_value, rel=1e-6)
    differences = [
        np.max(np.abs(a - b)) for a, b in zip(gradients, other_gradients, strict=True)
    ]
    assert max(differences) > 1e-5


def test_clip_value_bounds_output_and_controller(rng):
    cell = random_cell(rng, INPUT, clip_value=0.1)
    inputs = 10.0 * rng.normal(size=(2, TIME, INPUT)).astype("float32")
    outputs, *states = keras.layers.RNN(cell, return_sequences=True, return_state=True)(
        inputs
    )
    state = cell.unflatten(states)
    for tensor in (outputs, *state.controller):
        assert np.max(np.abs(to_numpy(tensor))) == pytest.approx(0.1)


def test_clip_value_none_leaves_large_outputs_alone(rng):
    cell = random_cell(rng, INPUT, clip_value=None)
    cell.output_linear.bias.assign([100.0, -100.0, 0.0])
    outputs = keras.layers.RNN(cell)(np.zeros((2, TIME, INPUT), "float32"))
    assert np.max(np.abs(to_numpy(outputs))) > 50.0
