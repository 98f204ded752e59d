"""Products with weights: values, gradients, and gradients that are deferred."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dnc import backend
from keras_dnc.ops.linear import collecting
from keras_dnc.ops.linear import deferring
from keras_dnc.ops.linear import linear
from keras_dnc.ops.linear import weight_gradients
from tests.numbers import assert_close
from tests.numbers import value_and_gradients

BATCH, UNITS, SIZES = 3, 5, (2, 4)


@pytest.fixture
def kernels(rng):
    return [
        keras.Variable(rng.normal(size=(size, UNITS)), dtype="float32")
        for size in SIZES
    ]


@pytest.fixture
def bias(rng):
    return keras.Variable(rng.normal(size=UNITS), dtype="float32")


@pytest.fixture
def rows(rng):
    parts = [rng.normal(size=(BATCH, size)) for size in SIZES]
    return [ops.convert_to_tensor(part, "float32") for part in parts]


def plain(rows, kernels, bias):
    return ops.matmul(rows[0], kernels[0]) + ops.matmul(rows[1], kernels[1]) + bias


def test_values_and_gradients_are_those_of_the_plain_products(kernels, bias, rows):
    def loss_of(function):
        return lambda: ops.sum(ops.sin(function(rows, kernels, bias)))

    value, gradients = value_and_gradients(loss_of(linear), [*kernels, bias])
    expected, others = value_and_gradients(loss_of(plain), [*kernels, bias])
    for one, two in zip([value, *gradients], [expected, *others], strict=True):
        assert_close(one, two, 1e-6)


def test_a_step_lists_its_products(kernels, bias, rows):
    with collecting() as products:
        linear(rows, kernels, bias)
        linear(rows[:1], kernels[:1])
    first, second = products
    assert first.kernels == kernels and first.bias is bias
    assert (first.size, first.units, first.dtype) == (sum(SIZES), UNITS, "float32")
    assert second.bias is None and second.size == SIZES[0]


def test_factors_of_a_deferred_product_multiply_to_its_weight_gradients(
    kernels, bias, rows, rng
):
    gradient = ops.convert_to_tensor(rng.normal(size=(BATCH, UNITS)), "float32")

    def run(taps):
        with deferring(taps) as found:
            output = linear(rows, kernels, bias)
        return [ops.sum(ops.sin(output) * gradient)], found

    taps = [ops.zeros((BATCH, UNITS))]
    by_output, given = backend.vjp(run, taps, [ops.ones(())])
    found = weight_gradients(given[0], by_output[0], list(SIZES), has_bias=True)

    def loss():
        return ops.sum(ops.sin(plain(rows, kernels, bias)) * gradient)

    expected = value_and_gradients(loss, [*kernels, bias])[1]
    for one, two in zip(found, expected, strict=True):
        assert_close(one, two, 1e-6)


def test_without_taps_nothing_is_deferred(kernels, bias, rows):
    with deferring([]) as found:
        output = linear(rows, kernels, bias)
    assert found == []
    np.testing.assert_allclose(
        ops.convert_to_numpy(output),
        ops.convert_to_numpy(plain(rows, kernels, bias)),
        atol=1e-6,
    )
