"""What counts as a right answer: of words, of bits, of sequences."""

import numpy as np
import pytest

from keras_dnc.training.metrics import BitErrors
from keras_dnc.training.metrics import ExactGroups
from keras_dnc.training.metrics import ExactSequences
from keras_dnc.training.metrics import InstanceAccuracy
from keras_dnc.training.metrics import QuestionError

RIGHT = np.array([[0, 0, 3, 4, 0, 2], [0, 5, 0, 1, 2, 3]])
WEIGHTS = np.array([[0, 0, 1, 1, 0, 1], [0, 1, 0, 1, 1, 1]], "float32")


def error(said):
    metric = QuestionError()
    metric.update_state(RIGHT, np.eye(6, dtype="float32")[said], WEIGHTS)
    return float(metric.result())


def changed(*places):
    said = RIGHT.copy()
    for place in places:
        said[place] = (said[place] + 1) % 6
    return said


@pytest.mark.parametrize(
    ("places", "wrong"),
    [
        ([], 0),
        ([(0, 2)], 1),  # one word of an answer of two
        ([(0, 2), (0, 3)], 1),  # both words of it
        ([(0, 2), (1, 1)], 2),
        ([(0, 5), (1, 0), (1, 2)], 1),  # the others are not asked for
        ([(0, 5), (1, 3), (1, 5)], 2),  # a row's end does not run into the next row
        ([(0, 2), (0, 5), (1, 1), (1, 4)], 4),
    ],
)
def test_a_question_is_wrong_when_any_word_is(places, wrong):
    assert error(changed(*places)) == pytest.approx(wrong / 4)


def test_it_accumulates_over_batches_and_resets():
    metric = QuestionError()
    for said in (changed(), changed((0, 2), (0, 5), (1, 1), (1, 4))):
        metric.update_state(RIGHT, np.eye(6, dtype="float32")[said], WEIGHTS)
    assert float(metric.result()) == pytest.approx(0.5)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_an_unknown_word_is_never_a_right_answer():
    metric = QuestionError(unknown=5)
    metric.update_state(RIGHT, np.eye(6, dtype="float32")[RIGHT], WEIGHTS)
    assert float(metric.result()) == pytest.approx(1 / 4)
    assert QuestionError.from_config(metric.get_config()).unknown == 5


def test_it_asks_for_weights():
    with pytest.raises(ValueError, match="weighted_metrics"):
        QuestionError().update_state(RIGHT, np.eye(6, dtype="float32")[RIGHT])


def bits(rng):
    """Targets, logits of which some are wrong, a mask of answers; wrong bits a row."""
    targets = rng.integers(0, 2, (6, 5, 3)).astype("float32")
    mask = rng.integers(0, 2, (6, 5)).astype("float32")
    flipped = rng.random((6, 5, 3)) < 0.1
    logits = np.where(flipped, -1.0, 1.0) * (4.0 * targets - 2.0)
    return targets, logits, mask, np.sum(flipped * mask[:, :, None], axis=(1, 2))


def test_bit_errors_and_exact_sequences_count_where_an_answer_is_asked_for(rng):
    targets, logits, mask, wrong = bits(rng)
    assert 0 < np.sum(wrong == 0) < 6
    errors, exact = BitErrors(), ExactSequences()
    for rows in (slice(0, 4), slice(4, 6)):
        for metric in (errors, exact):
            metric.update_state(targets[rows], logits[rows], sample_weight=mask[rows])
    assert float(errors.result()) == pytest.approx(np.mean(wrong))
    assert float(exact.result()) == pytest.approx(np.mean(wrong == 0))
    errors.reset_state()
    assert float(errors.result()) == 0.0


def test_what_is_no_number_is_wrong():
    metric = BitErrors()
    metric.update_state(np.eye(3)[None], np.full((1, 3, 3), np.nan))
    assert float(metric.result()) == 9.0


def test_accuracy_is_counted_at_the_kth_time_a_class_is_met(rng):
    classes = rng.integers(0, 3, (4, 12))
    said = np.where(rng.random((4, 12)) < 0.5, classes, 2 - classes)
    one_hot = np.eye(3, dtype="float32")
    mask = np.ones((4, 12), "float32")
    mask[0] = 0.0
    for instance in (1, 3):
        right, count = 0, 0
        for row in (1, 2, 3):
            for time in range(12):
                met = np.sum(classes[row, : time + 1] == classes[row, time])
                if met == instance:
                    count += 1
                    right += classes[row, time] == said[row, time]
        metric = InstanceAccuracy(instance)
        metric.update_state(one_hot[classes], one_hot[said], sample_weight=mask)
        assert float(metric.result()) == pytest.approx(right / count)
        assert InstanceAccuracy.from_config(metric.get_config()).instance == instance


def test_an_instance_is_counted_from_1():
    with pytest.raises(ValueError, match="`instance` must be a positive integer"):
        InstanceAccuracy(0)


def test_exact_groups_counts_sequences_without_a_wrong_class(rng):
    targets = np.eye(5, dtype="float32")[rng.integers(0, 5, (4, 3, 2))]
    logits = 3.0 * targets + rng.uniform(size=targets.shape)
    logits[1, 2, 0] = np.roll(logits[1, 2, 0], 1)  # a wrong class
    logits[2, 0, 1] = np.nan
    targets[3, 1, 1] = 0.0  # not scored, whatever the answer
    mask = np.ones((4, 3))
    mask[2, 0] = 0.0
    arrays = (array.reshape(4, 3, 10) for array in (targets, logits))
    metric = ExactGroups(group_size=5)
    metric.update_state(*arrays, mask)
    assert float(metric.result()) == 0.75
    assert metric.get_config()["group_size"] == 5


@pytest.mark.parametrize("logit", [np.nan, 0.0])
def test_nan_or_a_tie_is_no_exact_group(logit):
    metric = ExactGroups(group_size=2)
    metric.update_state(np.array([[[1.0, 0.0]]]), np.full((1, 1, 2), logit))
    assert float(metric.result()) == 0.0
