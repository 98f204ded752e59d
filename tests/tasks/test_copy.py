"""Copy and repeat copy: their formats, masks, determinism, and pictures of them."""

import numpy as np
import pytest

from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.copy import RepeatCopyTask
from keras_dnc.tasks.copy import SymbolRecallTask
from keras_dnc.tasks.copy import normal_repeats

PATTERN = np.array([[1, 1, 0], [0, 1, 1]], "float32")


def picture(channels):
    return ["".join(".#"[int(v > 0)] for v in channel) for channel in channels.T]


def test_an_episode_looks_like_the_picture_in_the_docstring():
    task = RepeatCopyTask(num_bits=3, max_length=2, max_repeats=3)
    inputs, targets, mask = task.episode(PATTERN, repeats=3)
    assert picture(inputs) == [
        ".#.........",
        ".##........",
        "..#........",
        "#..........",
        "...#.......",
    ]
    assert inputs[3, 4] == pytest.approx(0.3)
    assert picture(targets) == [
        "....#.#.#..",
        "....######.",
        ".....#.#.#.",
        "..........#",
    ]
    assert picture(mask[:, None]) == ["....#######"]


def test_batches_have_one_shape_and_padding_is_not_asked_for():
    task = RepeatCopyTask(num_bits=4, min_length=1, max_length=3, max_repeats=4)
    batch = task.batch(40, np.random.default_rng(0))
    assert batch.inputs.shape == (40, task.max_time, 6)
    assert batch.targets.shape == (40, task.max_time, 5)
    ends = np.argmax(batch.targets[:, :, 4], axis=1)
    assert np.max(ends) == task.max_time - 1
    assert np.min(ends) == 4  # one step, one repeat
    for row, end in enumerate(ends):
        assert batch.mask[row, end] == 1
        assert np.all(batch.mask[row, end + 1 :] == 0)


def test_the_same_seed_gives_the_same_batch():
    task = RepeatCopyTask()
    first, second = (task.batch(9, np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_dataset_is_fresh_each_epoch_and_repeats_with_its_seed():
    task = RepeatCopyTask(num_bits=8)
    dataset, twin = (task.dataset(5, steps=3, seed=2) for _ in range(2))
    before = dataset[1][0]
    np.testing.assert_array_equal(before, twin[1][0])
    assert np.any(dataset[0][0] != before)
    dataset.on_epoch_end()
    assert np.any(dataset[1][0] != before)
    assert len(dataset) == 3


def test_bit_errors_count_answers_alone():
    task = RepeatCopyTask()
    batch = task.batch(3, np.random.default_rng(0))
    right = 20.0 * batch.targets - 10.0
    assert task.bit_errors(batch, right).tolist() == [0, 0, 0]
    wrong = right.copy()
    wrong[1, -1 - np.argmax(batch.mask[1, ::-1])] *= -1.0  # every channel of one step
    wrong[:, 0] *= -1.0  # nothing is asked for at the first step
    assert task.bit_errors(batch, wrong).tolist() == [0, task.target_size, 0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_bits": 0},
        {"max_length": -1},
        {"min_repeats": 1.5},
        {"max_repeats": None},
    ],
)
def test_sizes_must_be_positive_integers(arguments):
    with pytest.raises(ValueError, match="must be a positive integer. Received"):
        RepeatCopyTask(**arguments)


def test_a_minimum_above_its_maximum_is_refused():
    with pytest.raises(ValueError, match="`min_length` must be at most `max_length`"):
        RepeatCopyTask(min_length=3, max_length=2)


@pytest.mark.parametrize("argument", ["repeats_mean", "repeats_scale"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "3"])
def test_the_repeats_channel_must_be_finite(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be a finite number"):
        RepeatCopyTask(**{argument: value})


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_the_repeats_channel_needs_a_scale_above_zero(scale):
    with pytest.raises(ValueError, match="`repeats_scale` must be .* above 0"):
        RepeatCopyTask(repeats_scale=scale)


def test_repeats_of_the_whole_range_have_mean_0_and_variance_1():
    task = RepeatCopyTask(2, 1, 1, 3, 7, **normal_repeats(3, 7))
    pattern = np.zeros((1, 2))
    shown = [task.episode(pattern, repeats).inputs[2, 3] for repeats in range(3, 8)]
    assert np.mean(shown) == pytest.approx(0.0, abs=1e-6)
    assert np.var(shown) == pytest.approx(1.0)
    assert np.all(np.diff(shown) > 0)


def test_one_number_of_repeats_has_no_variance():
    with pytest.raises(ValueError, match="`max_repeats` must be greater than"):
        normal_repeats(3, 3)


@pytest.mark.parametrize("batch_size", [0, 2.0])
def test_a_batch_needs_a_size(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        RepeatCopyTask().batch(batch_size, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(2, 1), (2,), (0, 3)])
def test_a_pattern_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"`pattern` must have shape \(length, 3\)"):
        RepeatCopyTask(num_bits=3).episode(np.zeros(shape), repeats=1)


def test_an_episode_without_repeats_is_refused():
    with pytest.raises(ValueError, match="`repeats` must be a positive integer"):
        RepeatCopyTask(num_bits=3).episode(PATTERN, repeats=0)


def test_a_copy_looks_like_the_picture_in_the_docstring():
    task = CopyTask(num_bits=3, max_length=2)
    inputs, targets, mask = task.episode([[0, 1, 0], [1, 1, 1]])
    assert picture(inputs) == [".#...", "##...", ".#...", "..#.."]
    assert picture(targets) == ["....#", "...##", "....#"]
    assert picture(mask[:, None]) == ["...##"]


def test_copies_are_of_every_length_between_the_two():
    task = CopyTask(num_bits=4, min_length=2, max_length=5)
    batch = task.batch(60, np.random.default_rng(0))
    assert batch.inputs.shape == (60, 11, 5) and batch.targets.shape == (60, 11, 4)
    lengths = batch.mask.sum(axis=1)
    assert set(lengths) == {2, 3, 4, 5}
    for inputs, targets, length in zip(
        batch.inputs, batch.targets, lengths.astype(int), strict=True
    ):
        copied = targets[length + 1 : 2 * length + 1]
        np.testing.assert_array_equal(copied, inputs[:length, :4])
        assert inputs[length, 4] == 1.0 and inputs[:, 4].sum() == 1.0


def test_an_episode_is_drawn_with_what_was_answered_wrong():
    task = CopyTask(num_bits=2, max_length=2)
    episode = task.episode([[0, 1], [1, 1]])
    logits = 9.0 * episode.targets - 1.0
    logits[3, 0], logits[4, 1] = 5.0, -5.0  # one bit too many, one missing
    logits[0] = 5.0  # where nothing is asked for
    assert task.to_text(episode, logits).splitlines() == [
        "inputs  .#...",
        "inputs  ##...",
        "inputs  ..#..",
        "targets ....#",
        "outputs ...o#",
        "targets ...##",
        "outputs ...#x",
    ]
    repeating = RepeatCopyTask(num_bits=1)
    assert "inputs  ..3..." in repeating.to_text(repeating.episode([[1]], repeats=3))


@pytest.mark.parametrize("pattern", [[[0, 1]], [0, 1, 1], np.zeros((0, 3))])
def test_a_copy_of_another_shape_is_refused(pattern):
    with pytest.raises(ValueError, match=r"must have shape \(length, 3\)"):
        CopyTask(num_bits=3).episode(pattern)


def test_a_symbol_is_asked_for_after_its_gap():
    inputs, targets, mask = SymbolRecallTask(num_symbols=3).episode(1, gap=3)
    assert picture(inputs) == [".....", "#....", ".....", "....#"]
    assert picture(targets) == [".....", "....#", "....."]
    assert picture(mask[:, None]) == ["....#"]


@pytest.mark.parametrize("symbol,gap", [(3, 1), (-1, 1), (1.0, 1), (0, 0)])
def test_a_symbol_or_gap_that_there_is_not_is_refused(symbol, gap):
    with pytest.raises(ValueError, match="must be"):
        SymbolRecallTask(num_symbols=3).episode(symbol, gap)
