"""A curriculum in which each task of a mixture advances at its own pace."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer_or_none
from keras_dnc.arguments import probability
from keras_dnc.training.callbacks import check_attributes


class TaskCurriculum(keras.callbacks.Callback):
    """A callback that advances each task whose held-out error is low enough.

    After each epoch the model answers held-out stories. A task whose error on the
    questions within its current lesson is at most `goal` goes on to its next lesson.

    If the mixture starts with some of its tasks, the next of `groups` start when the
    mean of these errors, of the tasks that have started, is at most `goal`. All other
    tasks start after the last group.

    The mixture is told the errors on all questions of each task. With a `least_share`
    below 1 it draws fewer stories of tasks with few errors.

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
        groups: Sequence of sequences of tasks that start together, one after another.
            Defaults to `()`, so that all other tasks start together.
        group_patience: Number of epochs after which the next group starts in any case.
            Defaults to `None`, for no such number.

    Raises:
        ValueError: `mixture` is not a `StoryMixture`, `held_out` is not a list of
            stories or lacks a task, `goal` is outside [0, 1], `groups` holds other
            tasks than those of the mixture, or `patience` or `group_patience` is
            neither `None` nor a positive integer.

    References:
        - Graves et al. 2016, Methods, "Curriculum learning".
    """

    def __init__(
        self,
        mixture: Any,
        held_out: Sequence[Any],
        goal: float = 0.08,
        patience: int | None = None,
        groups: Sequence[Sequence[int]] = (),
        group_patience: int | None = None,
    ) -> None:
        super().__init__()
        needed = ("lesson_of", "waiting", "like", "advance", "start", "set_errors")
        check_attributes("mixture", mixture, "a `StoryMixture`", needed)
        self.mixture = mixture
        self.goal = probability("goal", goal, includes_one=True)
        self.patience = positive_integer_or_none("patience", patience)
        name = "group_patience"
        self.group_patience = positive_integer_or_none(name, group_patience)
        self.epochs_of_group = 0
        tasks = [*mixture.lesson_of, *mixture.waiting]
        self.groups = _checked_groups(groups, tasks)
        self.epochs_of = dict.fromkeys(tasks, 0)
        _check_held_out(held_out, tasks)
        self.held_out = mixture.like(held_out)

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
        self.mixture.set_errors(whole)
        self._start_next(shown)
        self._advance(shown)

    def _start_next(self, shown: Mapping[int, float]) -> None:
        """Start the next group of tasks if those that have started allow it."""
        waiting = self.mixture.waiting
        self.epochs_of_group += 1
        is_late = self.epochs_of_group == self.group_patience
        if waiting and (is_late or float(np.mean([*shown.values()])) <= self.goal):
            groups = (sorted({*group} & {*waiting}) for group in self.groups)
            self.mixture.start(next(filter(None, groups), waiting))
            self.epochs_of_group = 0

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
        return {
            "lesson_of": self.mixture.lesson_of,
            "epochs_of": self.epochs_of,
            "epochs_of_group": self.epochs_of_group,
            "errors": self.mixture.errors,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore lessons and epochs in them.

        Args:
            state: Dict that `get_state` returned, possibly by way of JSON.
        """
        lesson_of, self.epochs_of = (
            {int(task): number for task, number in state[name].items()}
            for name in ("lesson_of", "epochs_of")
        )
        self.epochs_of_group = state["epochs_of_group"]
        errors = state.get("errors", {})  # not in older checkpoints
        self.mixture.set_errors({int(task): error for task, error in errors.items()})
        self.mixture.set_lessons(lesson_of)


def _checked_groups(groups: Any, tasks: Iterable[int]) -> list[list[int]]:
    """Return groups of tasks as lists, or raise a `ValueError`."""
    is_list = isinstance(groups, Iterable)
    if not is_list or not all(isinstance(group, Iterable) for group in groups):
        raise ValueError(
            "Argument `groups` must be a list of lists of tasks. "
            f"Received: groups={groups!r}"
        )
    if {task for group in groups for task in group} - {*tasks}:
        raise ValueError(
            f"Argument `groups` must hold tasks of the mixture, {sorted(tasks)}. "
            f"Received: groups={groups!r}"
        )
    return [list(group) for group in groups]


def _check_held_out(held_out: Any, tasks: Iterable[int]) -> None:
    """Raise a `ValueError` unless there are encoded stories of every task."""
    check_attributes("held_out", held_out, "a list of `EncodedStory`", ("__iter__",))
    for story in held_out:
        needed = ("task", "tokens", "weights")
        check_attributes("held_out", story, "a list of `EncodedStory`", needed)
    missing = sorted(set(tasks) - {story.task for story in held_out})
    if missing:
        raise ValueError(
            "Argument `held_out` must hold stories of every task of the mixture. "
            f"Received: no story of the tasks {missing}"
        )


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
