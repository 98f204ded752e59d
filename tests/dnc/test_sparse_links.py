"""Sparse links of the dense DNC, beside a dense twin of the paper's equations."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.sparse_links import SparseTemporalLinkage
from tests.conformance.harness import check_same
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

BATCH, WRITES, READS, SLOTS = 3, 2, 4, 9


def hat(weights, count):
    """The largest weights of each row, scaled to the sum of all."""
    ranks = np.argsort(np.argsort(-to_numpy(weights), axis=-1, kind="stable"), axis=-1)
    kept = ops.where(ops.convert_to_tensor(ranks < count), weights, 0.0)
    whole, part = (ops.sum(w, axis=-1, keepdims=True) for w in (weights, kept))
    return ops.where(part > 0.0, kept * whole / ops.maximum(part, 1e-30), 0.0)


def dense_links(link, write_weights, precedence_weights, count):
    """The new links as matrices, links below 1/K dropped."""
    write, last = hat(write_weights, count), hat(precedence_weights, count)
    decay = 1.0 - write[..., :, None] - write[..., None, :]
    link = decay * link + write[..., :, None] * last[..., None, :]
    link = link * (1.0 - ops.eye(link.shape[-1]))
    return ops.where(link < 1.0 / count, 0.0, link)


def sharp_weights(rng, heads, steps):
    """Rows that sum to less than 1, most of it on one or two slots."""
    logits = 6.0 * rng.normal(size=(steps, BATCH, heads, SLOTS))
    rows = np.exp(logits)
    gates = rng.uniform(0.7, 1.0, (steps, BATCH, heads, 1))
    return (gates * rows / rows.sum(-1, keepdims=True)).astype("float32")


def run_dense(writes, reads, count):
    link = ops.zeros((BATCH, WRITES, SLOTS, SLOTS))
    precedence = ops.zeros((BATCH, WRITES, SLOTS))
    for write in ops.unstack(writes, axis=0):
        link = dense_links(link, write, precedence, count)
        precedence = (1.0 - ops.sum(write, axis=-1, keepdims=True)) * precedence + write
    heads = reads[:, :, None, None, :]
    forward = ops.sum(link[:, None] * heads, axis=-1)
    backward = ops.sum(link[:, None] * ops.swapaxes(heads, -1, -2), axis=-2)
    return link, forward, backward


def run_sparse(writes, reads, count):
    linkage = SparseTemporalLinkage(count)
    shapes = linkage.link_shape(WRITES, SLOTS)
    link = type(shapes)(*(ops.zeros((BATCH, *shape)) for shape in shapes))
    state = TemporalLinkageState(link, ops.zeros((BATCH, WRITES, SLOTS)))
    for write in ops.unstack(writes, axis=0):
        state = linkage(write, state)
    forward, backward = linkage.directional_read_weights(state.link, reads)
    return state.link, forward, backward


@pytest.mark.only("tensorflow", "torch")  # the twin sorts outside of the graph
@pytest.mark.parametrize("count", [2, 5])
def test_links_reads_and_gradients_are_those_of_the_dense_twin(rng, count):
    writes = keras.Variable(sharp_weights(rng, WRITES, 6))
    reads = keras.Variable(sharp_weights(rng, READS, 1)[0])
    slopes = rng.normal(size=(2, BATCH, READS, WRITES, SLOTS)).astype("float32")
    slopes = ops.unstack(ops.convert_to_tensor(slopes), axis=0)

    def found(run):
        link, *along = run(1.0 * writes.value, 1.0 * reads.value, count)

        def loss():
            _, *along = run(1.0 * writes.value, 1.0 * reads.value, count)
            return sum(
                ops.sum(slope * part) for slope, part in zip(slopes, along, strict=True)
            )

        value, gradients = value_and_gradients(loss, [writes, reads])
        return link, [*along, value, *gradients]

    (sparse, results), (dense, expected) = found(run_sparse), found(run_dense)
    check_same(results, expected)
    assert np.max(np.abs(expected[-2])) > 0.1  # the writing has a gradient
    matrix = np.zeros((BATCH, WRITES, SLOTS, SLOTS))
    slots, weights = (to_numpy(part) for part in sparse)
    for place in np.ndindex(slots.shape):
        matrix[(*place[:3], int(slots[place]))] += weights[place]
    assert_close(matrix, to_numpy(dense))
    assert np.sum(matrix > 0.0) > 8


def test_sharp_writing_is_followed_as_with_all_links(rng):
    """One slot after another: nothing is dropped, so the dense links are the same."""
    order = rng.permutation(SLOTS)
    writes = np.eye(SLOTS, dtype="float32")[order][:, None, None]
    linkage = SparseTemporalLinkage(3)
    link = [ops.zeros((1, *shape)) for shape in linkage.link_shape(1, SLOTS)]
    state = TemporalLinkageState(link, ops.zeros((1, 1, SLOTS)))
    for write in writes:
        state = linkage(ops.convert_to_tensor(write), state)
    reads = ops.convert_to_tensor(writes[4])
    forward, backward = linkage.directional_read_weights(state.link, reads)
    assert_close(to_numpy(forward)[0, 0, 0], writes[5, 0, 0])
    assert_close(to_numpy(backward)[0, 0, 0], writes[3, 0, 0])


def test_gradients_are_finite_where_nothing_is_written(rng):
    linkage = SparseTemporalLinkage(3)
    shapes = linkage.link_shape(1, SLOTS)
    link = [ops.zeros((1, *shape)) for shape in shapes]
    weights = [keras.Variable(np.zeros((1, 1, SLOTS))) for _ in range(2)]

    def loss():
        write, last = (ops.convert_to_tensor(variable) for variable in weights)
        state = linkage(write, TemporalLinkageState(link, last))
        return ops.sum(state.link[1]) + ops.sum(state.precedence_weights)

    for gradient in value_and_gradients(loss, weights)[1]:
        assert np.all(np.isfinite(to_numpy(gradient)))


def test_memory_rnn_gives_the_numbers_of_the_plain_layer(rng):
    cell = random_cell(rng, link_top_k=3, num_writes=2)
    inputs = rng.normal(size=(3, 9, 5)).astype("float32")
    flags = {"return_sequences": True, "return_state": True}
    layers = [kind(cell, **flags) for kind in (keras.layers.RNN, keras_dnc.MemoryRNN)]
    plain, ours = (layer(inputs) for layer in layers)
    check_same(ours, plain)

    def gradients(layer):
        def loss():
            return ops.sum(ops.square(layer(inputs, training=True)[0]))

        return value_and_gradients(loss, cell.trainable_variables)[1]

    check_same(*map(gradients, layers))


def test_links_are_kept_in_numbers_that_grow_with_the_slots_alone():
    cell = keras_dnc.DNCCell(3, 8, memory_size=1000, word_size=4, link_top_k=8)
    sizes = dict(zip(cell.state_names, cell.state_size, strict=True))
    assert sizes["link_slots"] == sizes["link_weights"] == 8000
    assert "link" not in sizes
    twin = keras_dnc.DNCCell.from_config(cell.get_config())
    assert twin.state_size == cell.state_size


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_links_of_no_number_are_refused(value):
    with pytest.raises(ValueError, match="`link_top_k` must be a positive integer"):
        keras_dnc.DNCCell(3, link_top_k=value)


LINKED = {
    "dnc": lambda **options: keras_dnc.DNCCell(3, 8, **options),
    "bidnc": lambda **options: keras_dnc.BiDNC(3, 8, **options),
    "sdnc": lambda **options: keras_dnc.SDNCCell(3, 8, **options),
}


@pytest.mark.parametrize("make", LINKED.values(), ids=LINKED)
def test_more_links_than_slots_are_refused(make):
    with pytest.raises(
        ValueError,
        match="`link_top_k` must be at most `memory_size`. "
        "Received: link_top_k=8, memory_size=7",
    ):
        make(memory_size=7, link_top_k=8)


@pytest.mark.parametrize("make", LINKED.values(), ids=LINKED)
def test_a_config_with_more_links_than_slots_keeps_all_links(make):
    """Version 0.1 took it, and a smaller memory has such a config."""
    config = make(memory_size=7, link_top_k=5).get_config()
    old = type(make()).from_config({**config, "link_top_k": 9})
    assert old.get_config()["link_top_k"] == 7


@pytest.mark.parametrize(
    "kind",
    [
        keras_dnc.MemoryAccess,
        keras_dnc.SparseTemporalLinkage,
        lambda **o: keras_dnc.DNCCell(3, **o),
    ],
)
def test_the_old_name_of_the_option_is_taken_with_a_warning(kind):
    with pytest.warns(DeprecationWarning, match="`link_sparsity` is.*`link_top_k`"):
        made = kind(link_sparsity=3)
    assert getattr(made, "access", made).link_top_k == 3
