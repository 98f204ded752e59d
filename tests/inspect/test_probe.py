"""A linear probe reads what is there linearly, and nothing else."""

import numpy as np
import pytest

from keras_dnc.inspect.probe import linear_probe


def test_what_depends_linearly_on_the_features_is_read(rng):
    labels = rng.integers(0, 4, 400)
    features = np.eye(4)[labels] @ rng.normal(size=(4, 20))
    features += 0.05 * rng.normal(size=features.shape)
    score = linear_probe(features, np.array(list("CATS"))[labels])
    assert score.accuracy > 0.98
    assert score.chance == pytest.approx(0.25, abs=0.1)


def test_what_is_not_there_is_not_read(rng):
    labels = rng.integers(0, 4, 400)
    score = linear_probe(rng.normal(size=(400, 20)), labels)
    assert score.accuracy < 0.4


def test_an_exclusive_or_is_not_read(rng):
    bits = rng.integers(0, 2, (400, 2))
    # A linear map classifies three of the four pairs of bits correctly.
    assert linear_probe(bits, bits.sum(axis=1) % 2).accuracy < 0.85


def test_held_out_examples_follow_from_the_seed(rng):
    features, labels = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    scores = {linear_probe(features, labels, seed=seed) for seed in range(6)}
    assert linear_probe(features, labels, seed=3) in scores and len(scores) > 1


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"labels": [0, 1]}, "must have shapes .* Received: shapes .4, 2. and .2,"),
        ({"features": np.ones(4)}, "must have shapes"),
        ({"held_out": 0.0}, "`held_out` must be above 0 and below 1"),
        ({"held_out": 1.0}, "`held_out` must be above 0 and below 1"),
        ({"held_out": 0.99}, "`features` must have more than one example"),
        ({"ridge": 0.0}, "`ridge` must be a finite number above 0"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    valid = {"features": np.ones((4, 2)), "labels": [0, 1, 0, 1]}
    with pytest.raises(ValueError, match=match):
        linear_probe(**{**valid, **arguments})
