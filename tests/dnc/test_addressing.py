"""Freeness and TemporalLinkage: stories, ranges, gradients at the edges."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import keras_dnc
from keras_dnc.dnc.addressing import allocation
from tests.dnc import oracle
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients


def one_hot(slot, memory_size=5):
    return np.eye(memory_size, dtype="float32")[slot].reshape(1, 1, memory_size)


def usage_after(usage, written=None, read=None, free_gate=0.0):
    nothing = np.zeros((1, 1, 5), "float32")
    return to_numpy(
        keras_dnc.Freeness()(
            nothing if written is None else one_hot(written),
            np.array([[free_gate]], "float32"),
            nothing if read is None else one_hot(read),
            np.array([usage], "float32"),
        )
    )[0]


def test_a_written_slot_becomes_used():
    assert usage_after([0, 0, 0, 0, 0], written=2).tolist() == [0, 0, 1, 0, 0]


def test_a_slot_that_was_read_and_freed_becomes_unused():
    usage = usage_after([1, 1, 1, 1, 1], read=3, free_gate=1.0)
    assert usage.tolist() == [1, 1, 1, 0, 1]


def test_a_slot_that_was_read_but_kept_stays_used():
    usage = usage_after([1, 1, 1, 1, 1], read=3, free_gate=0.0)
    assert usage.tolist() == [1, 1, 1, 1, 1]


def test_a_freed_slot_is_allocated_next():
    usage = usage_after([1, 1, 1, 1, 1], read=3, free_gate=1.0)
    weights = to_numpy(allocation(ops.convert_to_tensor(usage[None])))[0]
    assert_close(weights, one_hot(3)[0, 0])


def test_allocation_goes_to_the_least_used_slot():
    usage = ops.convert_to_tensor([[0.9, 0.2, 0.05, 0.7]])
    weights = to_numpy(allocation(usage))[0]
    assert np.argsort(-weights).tolist() == [2, 1, 3, 0]
    assert weights[2] == pytest.approx(0.95, abs=1e-5)


def test_the_second_write_head_gets_another_free_slot():
    usage = np.array([[1.0, 0.0, 1.0, 0.0, 1.0]], "float32")
    weights = keras_dnc.Freeness().allocation_weights(usage, np.ones((1, 2), "float32"))
    expected = np.stack([one_hot(1)[0, 0], one_hot(3)[0, 0]])
    assert_close(to_numpy(weights)[0], expected)


def test_a_closed_write_gate_leaves_the_slot_to_the_next_head():
    usage = np.array([[1.0, 0.0, 1.0, 0.0, 1.0]], "float32")
    gates = np.array([[0.0, 1.0]], "float32")
    weights = to_numpy(keras_dnc.Freeness().allocation_weights(usage, gates))[0]
    assert_close(weights[0], weights[1])


@pytest.mark.parametrize("tied", [False, True])
def test_allocation_equals_the_sorted_free_list(rng, tied):
    usage = rng.uniform(size=(6, 11)).astype("float32")
    if tied:
        usage = np.round(usage, 1)
    weights = to_numpy(allocation(ops.convert_to_tensor(usage)))
    for row in range(len(usage)):
        expected = oracle.allocation(usage[row].astype("float64"))
        assert_close(weights[row], expected)


def sorted_allocation(usage):
    """Plain reference: sort, cumulate, put back."""
    freeness = 1.0 - (1e-6 + (1.0 - 1e-6) * usage)
    order = ops.argsort(-freeness, axis=-1)
    ranked = ops.take_along_axis(freeness, order, axis=-1)
    product = ops.cumprod(1.0 - ranked, axis=-1)
    before = ops.concatenate([ops.ones_like(product[:, :1]), product[:, :-1]], axis=-1)
    return ops.take_along_axis(ranked * before, ops.argsort(order, axis=-1), axis=-1)


def test_allocation_has_the_gradient_of_the_sorted_free_list(rng):
    usage = keras.Variable(rng.uniform(size=(3, 9)), dtype="float32")
    weights = ops.convert_to_tensor(rng.normal(size=(3, 9)).astype("float32"))
    results = [
        value_and_gradients(lambda f=f: ops.sum(weights * f(usage.value)), [usage])
        for f in (allocation, sorted_allocation)
    ]
    (value, [gradient]), (expected_value, [expected_gradient]) = results
    assert_close(value, expected_value)
    assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("usage", [0.0, 1.0])
def test_empty_and_full_memories_have_finite_gradients(usage):
    usage = keras.Variable(np.full((2, 6), usage), dtype="float32")
    _, [gradient] = value_and_gradients(
        lambda: ops.sum(ops.square(allocation(usage.value))), [usage]
    )
    assert np.all(np.isfinite(gradient))


def test_links_follow_the_order_of_writing():
    linkage = keras_dnc.TemporalLinkage()
    state = keras_dnc.TemporalLinkageState(
        np.zeros((1, 1, 5, 5), "float32"), np.zeros((1, 1, 5), "float32")
    )
    for slot in (4, 0, 2):
        state = linkage(one_hot(slot), state)
    forward, backward = linkage.directional_read_weights(state.link, one_hot(0))
    assert_close(to_numpy(forward)[0, 0], one_hot(2)[0])
    assert_close(to_numpy(backward)[0, 0], one_hot(4)[0])
    assert_close(to_numpy(state.precedence_weights), one_hot(2))


def test_rewriting_a_slot_forgets_its_old_neighbours():
    linkage = keras_dnc.TemporalLinkage()
    state = keras_dnc.TemporalLinkageState(
        np.zeros((1, 1, 5, 5), "float32"), np.zeros((1, 1, 5), "float32")
    )
    for slot in (4, 0, 2, 0):
        state = linkage(one_hot(slot), state)
    link = to_numpy(state.link)[0, 0]
    assert link[0, 2] == 1.0
    assert np.sum(link) == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 2))
def test_usage_and_links_stay_in_their_ranges(seed, num_reads, num_writes):
    rng = np.random.default_rng(seed)
    linkage, freeness = keras_dnc.TemporalLinkage(), keras_dnc.Freeness()
    state = keras_dnc.TemporalLinkageState(
        np.zeros((2, num_writes, 6, 6), "float32"),
        np.zeros((2, num_writes, 6), "float32"),
    )
    usage = np.zeros((2, 6), "float32")
    for _ in range(8):
        written = random_weights(rng, num_writes)
        read = random_weights(rng, num_reads)
        free_gate = rng.uniform(size=(2, num_reads)).astype("float32")
        usage = freeness(written, free_gate, read, usage)
        state = linkage(written, state)
    link = to_numpy(state.link)
    assert np.all(np.diagonal(link, axis1=2, axis2=3) == 0.0)
    assert_in_unit_interval(link)
    assert_in_unit_interval(to_numpy(usage))
    for sums in (link.sum(2), link.sum(3), to_numpy(state.precedence_weights).sum(2)):
        assert_in_unit_interval(sums)
    assert_in_unit_interval(to_numpy(allocation(usage)).sum(1))


def random_weights(rng, heads):
    weights = rng.dirichlet(np.full(7, 0.3), size=(2, heads))
    return weights[:, :, :6].astype("float32")


def assert_in_unit_interval(values):
    assert np.all(values >= -1e-6)
    assert np.all(values <= 1.0 + 1e-5)


@pytest.mark.parametrize(
    ("layer", "shapes", "named"),
    [
        (keras_dnc.Freeness, [(2, 1, 6), (2, 3), (2, 3, 5), (2, 5)], "write_weights"),
        (keras_dnc.Freeness, [(2, 1, 5), (2, 2), (2, 3, 5), (2, 5)], "free_gate"),
        (keras_dnc.Freeness, [(2, 1, 5), (2, 3), (2, 5), (2, 5)], "read_weights"),
        (keras_dnc.CosineWeights, [(2, 5, 4), (2, 3, 6), (2, 3)], "keys"),
        (keras_dnc.CosineWeights, [(2, 5, 4), (2, 3, 4), (2, 1)], "strengths"),
        (keras_dnc.CosineWeights, [(2, 5), (2, 3, 4), (2, 3)], "memory"),
    ],
)
def test_a_wrong_shape_is_named(layer, shapes, named):
    with pytest.raises(ValueError, match=f"`{named}` must have shape.*Received"):
        layer()(*(np.zeros(shape, "float32") for shape in shapes))


def test_a_wrong_link_is_named():
    state = keras_dnc.TemporalLinkageState(np.zeros((1, 1, 5, 4)), np.zeros((1, 1, 5)))
    with pytest.raises(ValueError, match="`link` must have shape"):
        keras_dnc.TemporalLinkage()(one_hot(1), state)
