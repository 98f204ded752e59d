"""Losses of sequences: the cost of deepmind/dnc, and softmaxes side by side."""

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.training.losses import GroupedCrossentropy
from keras_dnc.training.losses import SequenceCrossentropy
from tests.numbers import assert_close
from tests.numbers import to_numpy


def test_it_sums_over_channels_and_answers_and_averages_over_the_batch(rng):
    targets = (rng.uniform(size=(3, 7, 4)) > 0.5).astype("float32")
    logits = rng.normal(size=(3, 7, 4)).astype("float32")
    mask = (rng.uniform(size=(3, 7)) > 0.4).astype("float32")
    cost = SequenceCrossentropy()(targets, logits, sample_weight=mask)
    probability = 1.0 / (1.0 + np.exp(-logits.astype("float64")))
    right = np.where(targets > 0.5, probability, 1.0 - probability)
    expected = np.mean(np.sum(-np.log(right) * mask[:, :, None], axis=(1, 2)))
    assert_close(to_numpy(cost), expected)


def test_each_group_of_channels_is_a_softmax(rng):
    classes = rng.integers(0, 4, (3, 7, 2))
    targets = np.eye(4, dtype="float32")[classes]
    targets[0, 5, 1] = 0.0  # not scored
    logits = rng.normal(size=(3, 7, 8)).astype("float32")
    mask = (rng.uniform(size=(3, 7)) > 0.4).astype("float32")
    loss = GroupedCrossentropy(group_size=4)
    cost = loss(targets.reshape(3, 7, 8), logits, sample_weight=mask)
    powers = np.exp(logits.astype("float64").reshape(targets.shape))
    nats = -np.log(powers / powers.sum(-1, keepdims=True))
    expected = np.sum(nats * targets * mask[:, :, None, None]) / 3
    assert_close(to_numpy(cost), expected)


@pytest.mark.parametrize("loss", [SequenceCrossentropy(), GroupedCrossentropy(2)])
def test_padding_does_not_change_it(rng, loss):
    logits = rng.normal(size=(3, 7, 4)).astype("float32")
    targets, mask = np.ones_like(logits), np.ones((3, 7), "float32")
    cost = loss(targets, logits, sample_weight=mask)
    pad = [(0, 0), (0, 5), (0, 0)]
    padded = loss(
        np.pad(targets, pad), np.pad(logits, pad), sample_weight=np.pad(mask, pad[:2])
    )
    assert_close(to_numpy(padded), to_numpy(cost))


@pytest.mark.parametrize("padding", [0, 4])
def test_a_mask_of_the_model_does_not_change_it(padding):
    inputs = keras.Input((None, 5))
    masked = keras.layers.Masking()(inputs)
    model = keras.Model(
        inputs, keras.layers.Dense(2, kernel_initializer="zeros")(masked)
    )
    model.compile(loss=SequenceCrossentropy())
    sequences = np.pad(np.ones((3, 4, 5)), [(0, 0), (0, padding), (0, 0)])
    cost = model.evaluate(sequences, sequences[:, :, :2], verbose=0)
    assert cost == pytest.approx(4 * 2 * np.log(2))


@pytest.mark.parametrize("loss", [SequenceCrossentropy(), GroupedCrossentropy(3)])
def test_it_can_be_saved(loss):
    found = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(found) is type(loss)
    assert found.get_config() == loss.get_config()


LOSSES = {
    "sequence": (keras_dnc.SequenceCrossentropy(), 3),
    "grouped": (keras_dnc.GroupedCrossentropy(group_size=3), 3),
    "actor-critic": (keras_dnc.ActorCriticLoss(), 4),
}


@pytest.mark.parametrize("loss,channels", LOSSES.values(), ids=LOSSES)
def test_losses_of_replicas_add_up_to_that_of_the_batch(
    rng, monkeypatch, loss, channels
):
    """Under `tf.distribute`; `test_distributed.py` trains with a strategy."""
    targets = rng.random((4, 2, channels)).astype("float32")
    outputs = rng.normal(size=(4, 2, 3)).astype("float32")
    whole = float(loss(targets, outputs))
    monkeypatch.setattr("keras_dnc.backend.num_replicas", lambda: 2)
    halves = [float(loss(targets[half], outputs[half])) for half in HALVES]
    assert_close(sum(halves), whole, 1e-5)


HALVES = slice(0, 2), slice(2, 4)
