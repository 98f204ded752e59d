"""Dynamic n-grams: bits follow their table, and nobody predicts better than counts."""

import numpy as np
import pytest

from keras_dnc.tasks.ngram import NGramTask


def test_bits_follow_the_table_of_their_context(rng):
    table = np.array([0.0, 1.0, 1.0, 0.0])  # of n = 3: the exclusive or of the last two
    inputs, targets, mask = NGramTask(n=3, length=40).episode(table, rng)
    bits = np.append(inputs[:, 0], targets[-1, 0])
    np.testing.assert_array_equal(bits[2:], bits[1:-1] != bits[:-2])
    np.testing.assert_array_equal(targets[:, 0], bits[1:])
    assert mask.tolist() == [0.0] + [1.0] * 38


def test_the_oldest_bit_of_a_context_counts_most(rng):
    table = np.array([0.0, 0.0, 1.0, 1.0])  # the bit before the last comes again
    bits = NGramTask(n=3, length=30).episode(table, rng).inputs[:, 0]
    np.testing.assert_array_equal(bits[2:], bits[:-2])


def test_the_optimum_is_the_count_of_what_followed_each_context():
    task = NGramTask(n=2, length=6)
    episode = task.episode([0.5, 0.5], np.random.default_rng(0))
    bits = [1, 1, 0, 1, 1]
    batch = episode._replace(inputs=np.array(bits, "float32")[:, None])
    batch = type(task.batch(1, np.random.default_rng(0)))(*(f[None] for f in batch))
    odds = np.exp(task.optimum(batch)[0, :, 0])
    # After 1: nothing, 1, and at the end 1 0 1; after 0, at time 2: nothing.
    ones, zeros = np.array([0, 1, 0, 1, 2]), np.array([0, 0, 0, 1, 1])
    np.testing.assert_allclose(odds, (ones + 0.5) / (zeros + 0.5))


def test_no_other_estimate_of_a_count_is_better(rng):
    task = NGramTask(n=3, length=100)
    batch = task.batch(300, rng)
    best = task.optimum(batch)
    assert np.all(task.errors(batch, best) == 0.0)
    for other in (0.7 * best, 1.4 * best, np.zeros_like(best)):
        assert np.mean(task.errors(batch, other)) > 0.5
    # Knowing nothing costs a bit for each bit: the best pays what is left of 98.
    best_pays = 98.0 - task.errors(batch, np.zeros_like(best))
    assert 0.0 < np.mean(best_pays) < 70.0


def test_tables_are_of_the_law_whose_ends_are_likeliest(monkeypatch):
    tables = []
    monkeypatch.setattr(
        NGramTask, "episode", lambda self, table, rng: tables.append(table)
    )
    rng = np.random.default_rng(0)
    for _ in range(200):
        NGramTask(n=6).sample(rng)
    # Of Beta(1/2, 1/2), the arcsine law, below 0.1 and above 0.9 lie 0.41 together.
    assert np.mean(np.abs(np.array(tables) - 0.5) > 0.4) == pytest.approx(
        0.41, abs=0.02
    )


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"n": 0}, "`n` must be a positive integer"),
        ({"n": 1}, "`n` must be at least 2"),
        ({"n": 7, "length": 6}, "`n` must be at least 2 and at most `length`"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NGramTask(**arguments)


def test_a_table_of_another_size_is_refused(rng):
    with pytest.raises(ValueError, match=r"`table` must have shape \(32,\)"):
        NGramTask().episode(np.ones(16), rng)
