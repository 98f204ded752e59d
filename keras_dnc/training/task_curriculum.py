"""A curriculum in which each task of a mixture advances at its own pace."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np


class TaskCurriculum(keras.callbacks.Callback):
    """A callback that advances each task whose held-out error is low enough.

    After each epoch the model answers held-out stories. A task whose error on the
    questions within its current lesson is at most `goal` goes on to its next lesson. If
    the mixture starts with some of its tasks, all others start when each of these has
    reached the last lesson, and the mean of their errors is at most `goal`.

    Logged are `val_qa1`, the error on all questions of task 1, and `lesson_qa1`, the
    index of its lesson in that epoch, -1 before it has started; the same for every
    other task; and `val_error`, the mean over tasks of the errors on all questions.

    Args:
        mixture: `keras_dnc.tasks.babi.StoryMixture` that training draws from.
        held_out: List of `EncodedStory`, whole held-out stories of every task.
        goal: Fraction of wrong answers at which a task goes on, in [0, 1]. Defaults to
            0.08.
        patience: Number of epochs after which a task goes on to its next lesson in any
            case. Defaults to `None`, for no such number.
        start_by: Number of epochs after which all tasks start in any case. Defaults to
            `None`, for no such number.

    Raises:
        ValueError: `held_out` lacks a task of the mixture.

    References:
        - Graves et al. 2016, Methods, "Curriculum learning".
    """

    def __init__(
        self,
        mixture: Any,
        held_out: Sequence[Any],
        goal: float = 0.08,
        patience: int | None = None,
        start_by: int | None = None,
    ) -> None:
        super().__init__()
        self.mixture = mixture
        self.held_out = mixture.like(held_out)
        self.goal = goal
        self.patience = patience
        self.start_by = start_by
        tasks = [*mixture.lesson_of, *mixture.waiting]
        self.epochs_of = dict.fromkeys(tasks, 0)
        missing = sorted(set(tasks) - {one.task for one in held_out})
        if missing:
            raise ValueError(
                "Argument `held_out` must hold stories of every task of the mixture. "
                f"Received: no story of the tasks {missing}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure each task, and advance those that have reached the goal.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch, to which those of the tasks are added.
        """
        logs = {} if logs is None else logs
        lesson_of = self.mixture.lesson_of
        judged = judge_answers(self.model, self.held_out)
        whole = error_by_task(judged)
        shown = error_by_task(
            (story, wrong[: self.mixture.questions_shown(story)])
            for story, wrong in judged
            if story.task in lesson_of
        )
        logs["val_error"] = float(np.mean(list(whole.values())))
        for task, error in whole.items():
            logs[f"val_qa{task}"] = error
            logs[f"lesson_qa{task}"] = lesson_of.get(task, -1)
        if self._others_start(epoch, shown):
            self.mixture.start(self.mixture.waiting)
        self._advance(shown)

    def _others_start(self, epoch: int, shown: Mapping[int, float]) -> bool:
        """Return whether the tasks that have not started start after this epoch."""
        if not self.mixture.waiting:
            return False
        last = len(self.mixture.lessons) - 1
        are_last = all(lesson == last for lesson in self.mixture.lesson_of.values())
        is_late = self.start_by is not None and epoch + 1 >= self.start_by
        return is_late or (are_last and float(np.mean([*shown.values()])) <= self.goal)

    def _advance(self, shown: Mapping[int, float]) -> None:
        """Advance the tasks that have reached the goal or the end of their patience."""
        done = []
        for task, error in shown.items():
            self.epochs_of[task] += 1
            if error <= self.goal or self.epochs_of[task] == self.patience:
                done.append(task)
                self.epochs_of[task] = 0
        self.mixture.advance(done)

    def get_state(self) -> dict[str, Any]:
        """Return lessons and epochs in them, for `fit_or_resume`."""
        return {"lesson_of": self.mixture.lesson_of, "epochs_of": self.epochs_of}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore lessons and epochs in them.

        Args:
            state: Dict that `get_state` returned, possibly by way of JSON.
        """
        lesson_of, self.epochs_of = (
            {int(task): number for task, number in state[name].items()}
            for name in ("lesson_of", "epochs_of")
        )
        self.mixture.set_lessons(lesson_of)


def judge_answers(model: keras.Model, batches: Any) -> list[tuple[Any, np.ndarray]]:
    """Let a model answer all questions of a dataset.

    Args:
        model: Keras model from tokens, `(batch, time)`, to logits or probabilities,
            `(batch, time, words)`.
        batches: `keras_dnc.tasks.babi.StoryBatches`.

    Returns:
        List of one pair per story: the story, and `(questions,)`, bool, true where the
        answer is wrong.
    """
    return [
        pair
        for index in range(len(batches))
        for pair in batches.wrong_answers(
            index, model.predict_on_batch(batches[index][0])
        )
    ]


def error_by_task(judged: Iterable[tuple[Any, np.ndarray]]) -> dict[int, float]:
    """Compute the fraction of wrong answers for each task.

    Args:
        judged: Pairs of a story and of its wrong answers, as from `judge_answers`.

    Returns:
        Dict from the number of a task to a fraction in [0, 1], by ascending number.
    """
    by_task: dict[int, list[np.ndarray]] = {}
    for story, wrong in judged:
        by_task.setdefault(story.task, []).append(wrong)
    return {
        task: float(np.mean(np.concatenate(by_task[task]))) for task in sorted(by_task)
    }
