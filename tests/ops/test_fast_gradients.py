"""Each gradient written by hand stands beside its plain reference, and equals it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dnc.ops.free_list import plain_product_before
from keras_dnc.ops.free_list import product_before
from keras_dnc.ops.links import plain_read_along_links
from keras_dnc.ops.links import plain_step_along_links
from keras_dnc.ops.links import plain_update_links
from keras_dnc.ops.links import read_along_links
from keras_dnc.ops.links import step_along_links
from keras_dnc.ops.links import update_links
from keras_dnc.ops.normalization import normalized
from keras_dnc.ops.normalization import plain_normalized
from keras_dnc.ops.residuals import keep
from keras_dnc.ops.residuals import recording
from keras_dnc.ops.residuals import reusing
from keras_dnc.ops.similarity import Guards
from keras_dnc.ops.similarity import cosine_similarity
from keras_dnc.ops.similarity import fast_cosine_similarity
from keras_dnc.ops.similarity import fast_masked_cosine_similarity
from keras_dnc.ops.similarity import masked_cosine_similarity
from tests.numbers import assert_close
from tests.numbers import value_and_gradients

BATCH, SLOTS, READS, WORD = 3, 7, 2, 4


def weights(rng, *shape):
    """Rows that sum to less than 1."""
    rows = rng.random(shape)
    return 0.9 * rows / rows.sum(-1, keepdims=True)


def link(rng):
    return weights(rng, BATCH, SLOTS, SLOTS) * (1.0 - np.eye(SLOTS))


def link_write_and_precedence(rng):
    return [link(rng), *(weights(rng, BATCH, SLOTS) for _ in range(2))]


def link_and_reads(rng):
    return [link(rng), weights(rng, BATCH, READS, SLOTS)]


def link_reads_and_modes(rng):
    modes = (rng.random((BATCH, READS)) for _ in range(2))
    return [*link_and_reads(rng), *modes]


def tied_freeness(rng):
    freeness = rng.random((BATCH, SLOTS))
    freeness[0, 3] = freeness[0, 5]
    freeness[1] = 0.0  # full usage
    return [freeness]


def memory_and_keys(rng):
    memory = rng.normal(size=(BATCH, SLOTS, WORD))
    memory[0, 2] = 0.0
    keys = rng.normal(size=(BATCH, READS, WORD))
    keys[1, 0] = 0.0
    return [memory, keys]


def fresh_memory_and_keys(rng):
    memory, keys = memory_and_keys(rng)
    memory[1] = 1e-6
    memory[0, 2] = 1e-6 * rng.normal(size=WORD)
    return [memory, rng.normal(size=keys.shape)]


def memory_keys_and_masks(rng):
    masks = rng.random((BATCH, READS, WORD))
    masks[2, 1] = 0.0
    return [*memory_and_keys(rng), masks]


def rows_above_the_variance(rng):
    scales = np.array([[1.0], [100.0], [0.01]])
    return [scales * rng.normal(size=(BATCH, 12)) + 3.0]


def listed(function, *arguments):
    return lambda *tensors: [function(*tensors, *arguments)]


PAIRS = {
    "normalized": (
        listed(normalized),
        listed(plain_normalized),
        rows_above_the_variance,
    ),
    "update_links": (
        listed(update_links),
        listed(plain_update_links),
        link_write_and_precedence,
    ),
    "read_along_links": (
        listed(read_along_links),
        listed(plain_read_along_links),
        link_reads_and_modes,
    ),
    "step_along_links": (step_along_links, plain_step_along_links, link_and_reads),
    "product_before": (
        listed(product_before),
        listed(plain_product_before),
        tied_freeness,
    ),
    "fast_cosine_similarity": (
        listed(fast_cosine_similarity),
        listed(cosine_similarity),
        memory_and_keys,
    ),
    "fast_cosine_similarity with the guards of the NTM": (
        listed(fast_cosine_similarity, Guards(1e-24, 1e-8)),
        listed(cosine_similarity, Guards(1e-24, 1e-8)),
        fresh_memory_and_keys,
    ),
    "fast_masked_cosine_similarity": (
        listed(fast_masked_cosine_similarity),
        listed(masked_cosine_similarity),
        memory_keys_and_masks,
    ),
}


@pytest.mark.parametrize("fast,plain,make", PAIRS.values(), ids=PAIRS)
def test_values_and_gradients_are_those_of_the_plain_reference(rng, fast, plain, make):
    tensors = [keras.Variable(a, dtype="float32") for a in make(rng)]
    shapes = [tuple(out.shape) for out in plain(*(t.value for t in tensors))]
    slopes = [
        ops.convert_to_tensor(rng.normal(size=shape).astype("float32"))
        for shape in shapes
    ]

    def weighed(function):
        def loss():
            outputs = function(*(1.0 * tensor.value for tensor in tensors))
            return sum(ops.sum(a * b) for a, b in zip(slopes, outputs, strict=True))

        return value_and_gradients(loss, tensors)

    value, gradients = weighed(fast)
    expected_value, expected = weighed(plain)
    assert_close(value, expected_value, 1e-5)
    for found, wanted in zip(gradients, expected, strict=True):
        assert_close(found, wanted, 1e-5)


def test_a_residual_has_the_value_of_the_first_run_and_the_gradient_of_the_second(rng):
    x = keras.Variable(rng.normal(size=(3,)).astype("float32"))
    first = np.array([5.0, 6.0, 7.0], "float32")

    def loss():
        with reusing({"y": ops.convert_to_tensor(first)}):
            y, z = keep(["y", "z"], [ops.square(1.0 * x.value), 2.0 * x.value])
        return ops.sum(y * y + z)

    value, (gradient,) = value_and_gradients(loss, [x])
    assert_close(value, np.sum(first**2 + 2.0 * ops.convert_to_numpy(x)))
    assert_close(gradient, 2.0 * first * 2.0 * ops.convert_to_numpy(x) + 2.0)


def test_an_output_that_is_kept_is_not_computed_again(rng):
    freeness = ops.convert_to_tensor(tied_freeness(rng)[0].astype("float32"))
    with recording() as residuals:
        twice = [product_before(freeness), product_before(freeness)]
    assert list(residuals) == ["free_list", "free_list_1"]
    assert_close(residuals["free_list"], twice[0])
    other = ops.convert_to_tensor(rng.random((BATCH, SLOTS)).astype("float32"))
    with reusing({"free_list": other}):
        assert_close(product_before(freeness), other)


def test_an_output_that_is_kept_has_its_gradient(rng):
    x = keras.Variable(tied_freeness(rng)[0].astype("float32"))
    with recording() as residuals:
        product_before(ops.convert_to_tensor(x.value))
    kept = {name: ops.convert_to_numpy(value) for name, value in residuals.items()}

    def loss():
        with reusing({n: ops.convert_to_tensor(value) for n, value in kept.items()}):
            return ops.sum(ops.sin(product_before(1.0 * x.value)))

    def plain():
        return ops.sum(ops.sin(plain_product_before(1.0 * x.value)))

    (found,), (expected,) = (value_and_gradients(f, [x])[1] for f in (loss, plain))
    assert_close(found, expected)
