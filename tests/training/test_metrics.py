"""QuestionError: every word of an answer must be right."""

import numpy as np
import pytest

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
