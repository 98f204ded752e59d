"""Every number against google-deepmind/dnc's own."""

import functools
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.ops.writing import erase_and_write
from tests import goldens
from tests.goldens import section
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

FOLDER = pathlib.Path(__file__).parent / "goldens"
FILES = ["deepmind_dnc_one_write", "deepmind_dnc_two_writes"]


@pytest.fixture(params=FILES, scope="module")
def golden(request):
    return goldens.load(FOLDER / f"{request.param}.npz")


@pytest.fixture
def cell(golden):
    config = {
        k.removeprefix("config/"): int(v) for k, v in golden.items() if "config" in k
    }
    cell = keras_dnc.DNCCell(
        config["output_size"],
        controller=config["controller_units"],
        memory_size=config["memory_size"],
        word_size=config["word_size"],
        num_reads=config["num_reads"],
        num_writes=config["num_writes"],
        clip_value=config["clip_value"],
    )
    keras_dnc.load_deepmind_weights(cell, section(golden, "core/weights/"))
    return cell


def test_cosine_weights(golden):
    weights = keras_dnc.CosineWeights()(
        golden["cosine/memory"], golden["cosine/keys"], golden["cosine/strengths"]
    )
    assert_close(to_numpy(weights), golden["cosine/weights"])


def test_temporal_linkage_over_time(golden):
    linkage = keras_dnc.TemporalLinkage()
    state = keras_dnc.TemporalLinkageState(
        np.zeros_like(golden["link/link"][0]),
        np.zeros_like(golden["link/precedence_weights"][0]),
    )
    for time, write_weights in enumerate(golden["link/write_weights"]):
        state = linkage(write_weights, state)
        forward, backward = linkage.directional_read_weights(
            state.link, golden["link/read_weights"][time]
        )
        assert_close(to_numpy(state.link), golden["link/link"][time])
        assert_close(
            to_numpy(state.precedence_weights), golden["link/precedence_weights"][time]
        )
        assert_close(to_numpy(forward), golden["link/forward"][time])
        assert_close(to_numpy(backward), golden["link/backward"][time])


def test_freeness_over_time(golden):
    freeness = keras_dnc.Freeness()
    usage = np.zeros_like(golden["freeness/usage"][0])
    for time in range(len(golden["freeness/usage"])):
        usage = freeness(
            golden["link/write_weights"][time],
            golden["freeness/free_gate"][time],
            golden["link/read_weights"][time],
            usage,
        )
        allocation = freeness.allocation_weights(
            usage, golden["freeness/write_gates"][time]
        )
        assert_close(to_numpy(usage), golden["freeness/usage"][time])
        assert_close(to_numpy(allocation), golden["freeness/allocation"][time])


def test_erase_and_write(golden):
    arguments = (
        golden["cosine/memory"],
        golden["link/write_weights"][0],
        golden["write/erase"],
        golden["write/values"],
    )
    memory = erase_and_write(*map(ops.convert_to_tensor, arguments))
    assert_close(to_numpy(memory), golden["write/memory"])


LAYERS = {
    **goldens.LAYERS,
    "RNN unrolled": functools.partial(keras.layers.RNN, unroll=True),
}


@pytest.mark.parametrize("make_layer", LAYERS.values(), ids=LAYERS)
def test_outputs_and_final_state(golden, cell, make_layer):
    layer = make_layer(cell, return_sequences=True, return_state=True)
    outputs, *states = layer(golden["core/inputs"].swapaxes(0, 1))
    state = to_numpy(cell.unflatten(states))
    assert_close(to_numpy(outputs).swapaxes(0, 1), golden["core/outputs"])
    hidden, carry = state.controller
    final = {
        **state.access._asdict(),
        "read_words": state.read_words,
        "controller_hidden": hidden,
        "controller_cell": carry,
    }
    expected = section(golden, "core/final/")
    assert set(final) == set(expected)
    for key, value in expected.items():
        assert_close(final[key], value, name=key)


@pytest.mark.parametrize("name", ["RNN", "MemoryRNN"])
def test_loss_and_the_gradient_of_every_weight(golden, cell, name):
    layer = LAYERS[name](cell, return_sequences=True)
    inputs, targets = (
        ops.convert_to_tensor(golden[f"core/{key}"].swapaxes(0, 1))
        for key in ("inputs", "targets")
    )
    loss, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(inputs) - targets)), cell.trainable_variables
    )
    assert_close(loss, golden["core/loss"])
    # The map from their weights to ours moves columns and adds a constant, so that it
    # maps their gradients to ours as well, but for the constant.
    by_path = {
        v.path: g for v, g in zip(cell.trainable_variables, gradients, strict=True)
    }
    theirs = section(golden, "core/gradients/")
    keras_dnc.load_deepmind_weights(cell, theirs)
    for variable in cell.trainable_variables:
        expected = to_numpy(variable.value)
        if variable is cell.controller.bias:
            expected = expected - forget_bias(cell.controller.units)
        assert_close(by_path[variable.path], expected, name=variable.path)


def forget_bias(units):
    return np.concatenate([np.zeros(units), np.ones(units), np.zeros(2 * units)])
