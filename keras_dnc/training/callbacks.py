"""Keras callbacks for networks that learn in lessons, and that are to generalise."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer


class StopAt(keras.callbacks.Callback):
    """Ends training once a figure is good enough: a lesson that has been learned.

    Args:
        monitor: Name of a figure in the logs, such as `"val_question_error"`.
        value: Training ends after the first epoch with a figure of at most this.

    Raises:
        ValueError: At an epoch's end, if the logs have no such figure.

    Example:
        ```python
        stop = keras_dnc.StopAt("val_question_error", 0.05)
        model.fit(lesson, validation_data=held_out, epochs=100, callbacks=[stop])
        ```
    """

    def __init__(self, monitor: str, value: float) -> None:
        super().__init__()
        self.monitor = monitor
        self.value = value

    def on_epoch_end(self, epoch, logs=None):
        """Compare."""
        if monitored(logs, self.monitor) <= self.value:
            self.model.stop_training = True


def monitored(logs, monitor):
    """Give the figure `monitor` of an epoch's logs, or raise a `ValueError`."""
    logs = logs or {}
    if monitor not in logs:
        raise ValueError(
            f"Argument `monitor` must be one of {sorted(logs)}. "
            f"Received: monitor={monitor!r}"
        )
    return logs[monitor]


class SampleReport(keras.callbacks.Callback):
    """Prints target and output of one episode side by side, every few epochs.

    Args:
        task: A generated task, such as `keras_dnc.tasks.copy.CopyTask`.
        every: Epochs between prints.
        seed: What the episode is drawn from; it is the same each time.

    Raises:
        ValueError: `every` is no positive integer.

    Example:
        ```python
        report = keras_dnc.SampleReport(CopyTask(max_length=10))
        model.fit(batches, epochs=100, callbacks=[report])
        ```
    """

    def __init__(self, task: Any, every: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.task = task
        self.every = positive_integer("every", every)
        self.episode = task.sample(np.random.default_rng(seed))

    def on_epoch_end(self, epoch, logs=None):
        """Answer, and draw."""
        if (epoch + 1) % self.every:
            return
        outputs = self.model.predict(self.episode.inputs[None], verbose=0)[0]
        print(f"\n{self.task.to_text(self.episode, outputs)}")


class GeneralisationReport(keras.callbacks.Callback):
    """Measures a model on other tasks, such as longer ones than it was trained on.

    Prints a table when training ends, and every few epochs.

    Args:
        tasks: Dict from what stands in the table, such as a length, to a generated
            task.
        size: Episodes of each task, the same each time.
        every: Epochs between tables; `None` for the end of training alone.
        batch_size: Episodes in a batch.
        seed: What the episodes are drawn from.

    Attributes:
        errors: Dict from the same names to what was measured last: the mean of
            `task.errors`, by most tasks in wrong bits a sequence.

    Raises:
        ValueError: A number that is no positive integer, no tasks, or tasks that are
            measured in different things.

    Example:
        ```python
        longer = {n: CopyTask(min_length=n, max_length=n) for n in (20, 50, 120)}
        report = keras_dnc.GeneralisationReport(longer)
        model.fit(batches, epochs=100, callbacks=[report])
        report.errors[120]
        ```
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
        self.seed = seed
        self.errors: dict[Any, float] = {}
        self.is_measured = False

    def on_epoch_end(self, epoch, logs=None):
        """Measure, where it is time to."""
        self.is_measured = self.every is not None and (epoch + 1) % self.every == 0
        if self.is_measured:
            self.measure(self.model)

    def on_train_end(self, logs=None):
        """Measure what training gave, unless the last epoch has just been measured."""
        if not self.is_measured:
            self.measure(self.model)

    def measure(self, model: keras.Model) -> dict[Any, float]:
        """Give the mean error on each task, and print it.

        Args:
            model: A Keras model that answers episodes.
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
    """Goes on to the next of the `Levels` of a task once one is learned.

    Writes the level to the logs, as `level`, counted from 0. In a run that is resumed
    with `fit_or_resume`, give it the log so far, and it goes on at the level it had
    reached.

    Args:
        levels: `keras_dnc.tasks.levels.Levels`, the task that training draws from.
        monitor: Name of a figure in the logs, such as `"bit_errors"`.
        goal: A level is learned after an epoch with a figure of at most this.
        log: What `read_log` gives of the run so far.

    Raises:
        ValueError: At an epoch's end, if the logs have no such figure.

    Example:
        ```python
        levels = Levels([CopyTask(max_length=n) for n in (2, 4, 8, 16)])
        model.fit(
            levels.dataset(batch_size=32, steps=100),
            epochs=100,
            callbacks=[keras_dnc.Curriculum(levels, "bit_errors", 0.1)],
        )
        ```

    References:
        - Bengio et al. 2009, Curriculum learning, ICML.
        - Graves et al. 2016, Methods, "Curriculum learning".
    """

    def __init__(self, levels: Any, monitor: str, goal: float, log=()) -> None:
        super().__init__()
        self.levels = levels
        self.monitor = monitor
        self.goal = goal
        for logs in log:
            levels.level = int(monitored(logs, "level"))
            self._go_on(logs)

    def on_epoch_end(self, epoch, logs=None):
        """Compare."""
        monitored(logs, self.monitor)
        logs["level"] = self.levels.level
        self._go_on(logs)

    def _go_on(self, logs):
        is_last = self.levels.level == len(self.levels.tasks) - 1
        if monitored(logs, self.monitor) <= self.goal and not is_last:
            self.levels.level += 1
