"""Keras callbacks for curricula and for measuring generalization."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import finite_number
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import random_seed


class StopAt(keras.callbacks.Callback):
    """A callback that stops training once a metric is low enough.

    Args:
        monitor: Name of a metric in the logs, such as `"val_question_error"`.
        value: Training stops after the first epoch in which the metric is at most this.

    Raises:
        ValueError: `value` is not a finite number. At the end of an epoch, if the logs
            have no metric named `monitor`, which is not checked before.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile(loss="mse")
        >>> stop = StopAt("loss", 100.0)
        >>> ones = np.ones((4, 1))
        >>> history = model.fit(ones, ones, epochs=9, callbacks=[stop], verbose=0)
        >>> len(history.epoch)
        1
    """

    def __init__(self, monitor: str, value: float) -> None:
        super().__init__()
        self.monitor = monitor
        self.value = finite_number("value", value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop training if the metric is low enough.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch.
        """
        if monitored(logs, self.monitor) <= self.value:
            self.model.stop_training = True


def monitored(logs: Mapping[str, float] | None, monitor: str) -> float:
    """Return a metric from the logs of an epoch.

    Args:
        logs: Dict from the names of metrics to their values, or `None` for no metrics.
        monitor: Name of the metric.

    Returns:
        Its value.

    Raises:
        ValueError: The logs have no such metric.
    """
    logs = logs or {}
    if monitor not in logs:
        raise ValueError(
            f"Argument `monitor` must be one of {sorted(logs)}. "
            f"Received: monitor={monitor!r}"
        )
    return logs[monitor]


def check_attributes(name: str, value: Any, kind: str, needed: Iterable[str]) -> None:
    """Raise an error unless a value has all attributes of a kind of object.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.
        kind: Description of such an object, for the error message.
        needed: Names of the attributes.

    Raises:
        ValueError: An attribute is missing.
    """
    missing = [attribute for attribute in needed if not hasattr(value, attribute)]
    if missing:
        raise ValueError(
            f"Argument `{name}` must be {kind}. Received: {name}={value!r}, without "
            f"{missing}"
        )


class SampleReport(keras.callbacks.Callback):
    """A callback that prints inputs, targets and outputs of one episode.

    Args:
        task: A generated task, such as `keras_dnc.tasks.copy.CopyTask`.
        every: Number of epochs between prints. Defaults to 1.
        seed: Seed of the episode, which is the same each time, an integer from 0 to
            2^32 - 1. Defaults to 0.

    Raises:
        ValueError: `task` is not a task, `every` is not a positive integer, or `seed`
            is out of range.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> task = CopyTask(num_bits=2, min_length=3, max_length=3)
        >>> zeros = keras.layers.Dense(2, kernel_initializer="zeros")
        >>> report = SampleReport(task)
        >>> report.set_model(keras.Sequential([zeros]))  # as `model.fit` does
        >>> report.on_epoch_end(epoch=0)
        <BLANKLINE>
        inputs  ##.....
        inputs  #......
        inputs  ...#...
        targets ....##.
        outputs ....xx.
        targets ....#..
        outputs ....x..
    """

    def __init__(self, task: Any, every: int = 1, seed: int = 0) -> None:
        super().__init__()
        check_attributes("task", task, "a generated task", ("sample", "to_text"))
        self.task = task
        self.every = positive_integer("every", every)
        rng = np.random.default_rng(random_seed("seed", seed))
        self.episode = task.sample(rng)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Predict the outputs of the episode, and print them.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch. Not used.
        """
        if (epoch + 1) % self.every:
            return
        outputs = self.model.predict(self.episode.inputs[None], verbose=0)[0]
        print(f"\n{self.task.to_text(self.episode, outputs)}")


class GeneralisationReport(keras.callbacks.Callback):
    """A callback that measures a model on other tasks than those of training.

    The tasks are longer ones, for example. It prints a table when training ends and,
    with `every`, during training.

    Args:
        tasks: Dict from the name of a row of the table, such as a length, to a
            generated task.
        size: Number of episodes of each task, the same ones each time. Defaults to 100.
        every: Number of epochs between tables. Defaults to `None`, for one table at the
            end of training only.
        batch_size: Number of episodes in a batch. Defaults to 100.
        seed: Seed of the episodes, an integer from 0 to 2^32 - 1. Defaults to 0.

    Attributes:
        errors: Dict from the names of rows to the last errors, each the mean of
            `task.errors`.

    Raises:
        ValueError: A number is not a positive integer, `seed` is out of range, `tasks`
            is not a dict of tasks, is empty, or its tasks differ in their metric.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> tasks = {n: CopyTask(min_length=n, max_length=n) for n in (20, 120)}
        >>> report = GeneralisationReport(tasks, size=10)
        >>> zeros = keras.layers.Dense(8, kernel_initializer="zeros")
        >>> errors = report.measure(keras.Sequential([zeros]))
        <BLANKLINE>
        task  wrong bits a sequence
          20  83.100
         120  482.200
    """

    def __init__(
        self,
        tasks: Mapping[Any, Any],
        size: int = 100,
        every: int | None = None,
        batch_size: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._check_tasks(tasks)
        self.tasks = dict(tasks)
        metrics = {task.metric for task in self.tasks.values()}
        if len(metrics) != 1:
            raise ValueError(
                "Argument `tasks` must be tasks that are measured in the same thing. "
                f"Received: tasks measured in {sorted(metrics)}"
            )
        (self.metric,) = metrics
        self.size = positive_integer("size", size)
        self.every = None if every is None else positive_integer("every", every)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.seed = random_seed("seed", seed)
        self.errors: dict[Any, float] = {}
        self.is_measured = False

    @staticmethod
    def _check_tasks(tasks: Any) -> None:
        """Raise a `ValueError` unless this is a dict of generated tasks."""
        kind = "a dict of generated tasks"
        check_attributes("tasks", tasks, kind, ("keys", "values"))
        for task in tasks.values():
            check_attributes("tasks", task, kind, ("batch", "errors", "metric"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure the model every `every` epochs.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch. Not used.
        """
        self.is_measured = self.every is not None and (epoch + 1) % self.every == 0
        if self.is_measured:
            self.measure(self.model)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Measure the trained model, unless the last epoch has just done so.

        Args:
            logs: Metrics of the last epoch. Not used.
        """
        if not self.is_measured:
            self.measure(self.model)

    def measure(self, model: keras.Model) -> dict[Any, float]:
        """Compute the mean error on each task, and print the table.

        Args:
            model: Keras model from inputs, `(batch, time, observation_size)`, to
                outputs, `(batch, time, target_size)`.

        Returns:
            Dict from the names of rows to errors.
        """
        for name, task in self.tasks.items():
            batch = task.batch(self.size, np.random.default_rng(self.seed))
            outputs = model.predict(batch.inputs, batch_size=self.batch_size, verbose=0)
            self.errors[name] = float(np.mean(task.errors(batch, outputs)))
        width = max(len(str(name)) for name in ["task", *self.errors])
        print(f"\n{'task':>{width}}  {self.metric}")
        for name, figure in self.errors.items():
            print(f"{name!s:>{width}}  {figure:.3f}")
        return self.errors


class Curriculum(keras.callbacks.Callback):
    """A callback that raises the level of `Levels` whenever a metric reaches its goal.

    It writes the level of an epoch, counted from 0, to the logs as `level`. A run that
    `fit_or_resume` resumes continues at the level that it had reached.

    Args:
        levels: `keras_dnc.tasks.levels.Levels`, from which training draws.
        monitor: Name of a metric in the logs, such as `"bit_errors"`.
        goal: The level rises after an epoch in which the metric is at most this, or at
            least this with `mode="max"`.
        mode: `"min"` or `"max"`, whether the metric should fall or rise. Defaults to
            `"min"`.
        log: Deprecated; `fit_or_resume` restores the level. Epochs of the run so far,
            as `read_log` returns them, which are not checked. Defaults to `()`.

    Raises:
        ValueError: `levels` has no levels, `goal` is not a finite number, or `mode` is
            neither `"min"` nor `"max"`. At the end of an epoch, if the logs have no
            metric named `monitor`, which is not checked before.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> from keras_dnc.tasks.levels import Levels
        >>> levels = Levels([CopyTask(max_length=n) for n in (2, 4, 8)])
        >>> curriculum = Curriculum(levels, "bit_errors", goal=0.1)
        >>> for epoch, bit_errors in enumerate([0.5, 0.1, 0.3]):
        ...     curriculum.on_epoch_end(epoch, {"bit_errors": bit_errors})
        >>> levels.level
        1

    References:
        - Bengio et al. 2009, Curriculum learning, ICML.
        - Graves et al. 2016, Methods, "Curriculum learning".
    """

    def __init__(
        self,
        levels: Any,
        monitor: str,
        goal: float,
        log: Iterable[Mapping[str, float]] = (),
        mode: str = "min",
    ) -> None:
        super().__init__()
        check_attributes("levels", levels, "a `Levels`", ("level", "tasks"))
        check_choice("mode", mode, ("min", "max"))
        self.mode = mode
        self.levels = levels
        self.monitor = monitor
        self.goal = finite_number("goal", goal)
        if log:
            warnings.warn(
                "Argument `log` is deprecated; `fit_or_resume` restores the level.",
                DeprecationWarning,
                stacklevel=2,
            )
        for logs in log:
            levels.level = int(monitored(logs, "level"))
            self._advance(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the level to the logs, and raise it if the goal is reached.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch, to which `level` is added.
        """
        logs = {} if logs is None else logs
        monitored(logs, self.monitor)
        logs["level"] = self.levels.level
        self._advance(logs)

    def get_state(self) -> dict[str, int]:
        """Return the level, for `fit_or_resume`."""
        return {"level": self.levels.level}

    def set_state(self, state: dict[str, int]) -> None:
        """Restore the level.

        Args:
            state: Dict that `get_state` returned.
        """
        self.levels.level = state["level"]

    def _advance(self, logs: Mapping[str, float]) -> None:
        """Raise the level by one if the goal is reached and a level is left."""
        value = monitored(logs, self.monitor)
        learned = value <= self.goal if self.mode == "min" else value >= self.goal
        if learned and self.levels.level < len(self.levels.tasks) - 1:
            self.levels.level += 1
