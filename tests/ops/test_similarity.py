"""CosineWeights: oracle, ranges, edges."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import keras_dnc
from tests.dnc import oracle
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

SQUASH = {"softplus": oracle.softplus, "oneplus": oracle.oneplus}


@pytest.mark.parametrize("strength", SQUASH)
def test_weights_equal_the_equations(rng, strength):
    memory = rng.normal(size=(2, 7, 4)).astype("float32")
    keys = rng.normal(size=(2, 3, 4)).astype("float32")
    strengths = rng.normal(size=(2, 3)).astype("float32")
    weights = to_numpy(keras_dnc.CosineWeights(strength)(memory, keys, strengths))
    for b in range(2):
        for head in range(3):
            expected = oracle.content_weights(
                memory[b].astype("float64"),
                keys[b, head].astype("float64"),
                SQUASH[strength](float(strengths[b, head])),
            )
            assert_close(weights[b, head], expected)


def test_a_strong_key_finds_its_row(rng):
    memory = rng.normal(size=(1, 7, 4)).astype("float32")
    strengths = np.full((1, 1), 200.0, "float32")
    weights = keras_dnc.CosineWeights()(memory, 3.0 * memory[:, 5:6], strengths)
    assert to_numpy(weights)[0, 0, 5] > 0.99


def test_a_zero_key_weighs_all_rows_alike(rng):
    memory = rng.normal(size=(1, 7, 4)).astype("float32")
    weights = keras_dnc.CosineWeights()(
        memory, np.zeros((1, 1, 4), "float32"), np.full((1, 1), 9.0, "float32")
    )
    assert_close(to_numpy(weights), np.full((1, 1, 7), 1 / 7))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-20, 1.0, 1e4]))
def test_rows_sum_to_one_at_any_scale(seed, scale):
    rng = np.random.default_rng(seed)
    memory, keys = (
        (scale * rng.normal(size=(2, n, 4))).astype("float32") for n in (6, 3)
    )
    strengths = (10.0 * rng.normal(size=(2, 3))).astype("float32")
    weights = to_numpy(keras_dnc.CosineWeights("oneplus")(memory, keys, strengths))
    assert np.all(weights >= 0)
    assert_close(weights.sum(-1), np.ones((2, 3)))


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e4])
def test_gradients_are_finite_at_any_scale(rng, scale):
    memory, keys = (
        keras.Variable(scale * rng.normal(size=(2, n, 4)), dtype="float32")
        for n in (6, 3)
    )
    layer = keras_dnc.CosineWeights()
    _, gradients = value_and_gradients(
        lambda: ops.sum(ops.square(layer(memory.value, keys.value, ops.ones((2, 3))))),
        [memory, keys],
    )
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_an_unknown_strength_is_refused():
    with pytest.raises(ValueError, match="`strength` must be one of.*'exp'"):
        keras_dnc.CosineWeights(strength="exp")


@pytest.mark.parametrize("guards", [(1e-6, 1e-6), (1e-24, 1e-8)])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-9, 1e-6, 1e-3])
def test_the_gradient_is_bounded_at_rows_and_keys_near_zero(rng, guards, scale):
    layer = keras_dnc.CosineWeights(cosine_guards=guards)
    small, large = rng.normal(size=(1, 6, 4)), rng.normal(size=(1, 6, 4))
    for memory, keys in ((scale * small, large), (large, scale * small)):
        variables = [keras.Variable(array) for array in (memory, keys)]

        def loss(variables=variables):
            weights = layer(*(1.0 * v.value for v in variables), ops.ones((1, 6)))
            return ops.sum(weights[:, :, 0])

        _, gradients = value_and_gradients(loss, variables)
        assert max(np.max(np.abs(gradient)) for gradient in gradients) < 2e3


def test_masks_need_the_guards_of_deepmind(rng):
    memory, keys = rng.normal(size=(1, 6, 4)), rng.normal(size=(1, 2, 4))
    layer = keras_dnc.CosineWeights(cosine_guards=(1e-24, 1e-8))
    with pytest.raises(ValueError, match="`masks` needs the default `cosine_guards`"):
        layer(memory, keys, np.ones((1, 2)), np.ones((1, 2, 4)))
