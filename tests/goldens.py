"""Numbers computed by other programs, and cells that take their weights."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

LAYERS = {
    "RNN": keras.layers.RNN,
    "MemoryRNN": functools.partial(keras_dnc.MemoryRNN, recompute=3),
}
each_layer = pytest.mark.parametrize("make_layer", LAYERS.values(), ids=LAYERS)
GUARD = 1e-7  # added to a bound: float32 rounds sums whose terms are far larger
WHOLE = slice(None)


def load(path):
    with np.load(path) as arrays:
        return dict(arrays)


def section(golden, prefix):
    return {
        k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)
    }


def named_weights(cell):
    """Return a dict from the files' names to `(variable, columns)`."""
    named = {}
    for part, layer in (
        ("controller", cell.controller),
        ("output", cell.output_linear),
    ):
        named |= {f"{part}/{w.name}": (w, WHOLE) for w in layer.weights}
    interface = cell.access.interface
    for control, columns in interface.columns.items():
        for weight in interface.dense.weights:
            named[f"interface/{control}/{weight.name}"] = weight, columns
    return named


def assign(weights, values):
    """Assign every weight of `named_weights`, and use every value."""
    assert set(weights) == set(values)
    for name, (variable, columns) in weights.items():
        array = np.array(to_numpy(variable.value))
        array[..., columns] = values[name]
        variable.assign(array)


def run(make_layer, cell, golden):
    """Return the outputs, and the final state of the memory as a dict."""
    layer = make_layer(cell, return_sequences=True, return_state=True)
    outputs, *states = layer(ops.convert_to_tensor(golden["inputs"]))
    return to_numpy(outputs), to_numpy(cell.unflatten(states)).access._asdict()


def assert_all_close(actual, expected, tolerance=1e-5):
    """Compare two dicts from names to arrays."""
    assert expected, "there is nothing to compare"
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert_close(actual[name], value, tolerance, name=name, guard=GUARD)


def gradients(make_layer, cell, golden, weights, activation=keras.activations.linear):
    """Return a dict from each name to its gradient, given the gradient of the outputs.

    Args:
        make_layer: One of `LAYERS`.
        cell: The cell.
        golden: Dict with `inputs` and `output_gradient`.
        weights: As returned by `named_weights`.
        activation: Maps the cell's outputs to those of the other program.
    """
    layer = make_layer(cell, return_sequences=True)
    inputs, factor = (
        ops.convert_to_tensor(golden[name]) for name in ("inputs", "output_gradient")
    )
    variables = list({v.path: v for v, _ in weights.values()}.values())
    _, found = value_and_gradients(
        lambda: ops.sum(activation(layer(inputs)) * factor), variables
    )
    by_path = {v.path: g for v, g in zip(variables, found, strict=True)}
    return {name: by_path[v.path][..., c] for name, (v, c) in weights.items()}
