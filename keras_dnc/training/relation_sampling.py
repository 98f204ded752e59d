"""Questions that ask the relations with many errors more often."""

from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import random_seed
from keras_dnc.training.callbacks import check_attributes

_PRIOR = 5  # the earlier estimate of an error counts as so many questions


class RelationSampling(keras.callbacks.Callback):
    """A callback that asks each relation in proportion to its errors.

    A network learns most relations of `keras_dnc.tasks.graphs.InferenceTask` early and
    a few of them late. After each epoch it answers questions of the current level in
    which all relations have equal shares. All tasks of `levels` are told the errors,
    and with a `least_share` below 1 draw their relations accordingly. An error is the
    fraction of wrong answers, averaged with the earlier estimate, which counts as five
    questions.

    Logged are `relations_right`, 1 minus the mean error of the relations of the level,
    and `worst_relation_right`, 1 minus the greatest. Use the former as the goal of a
    `Curriculum` that comes after this callback: the training questions are mostly about
    relations with errors. With a `least_share` of 1 it logs, and changes no shares.

    Args:
        levels: `keras_dnc.tasks.levels.Levels` of `InferenceTask`s with the same
            relations.
        size: Number of questions after each epoch. Defaults to 1,000.
        batch_size: Number of questions that are answered at once. Defaults to 100.
        seed: Seed of the questions, which are new after each epoch. An integer from 0
            to 2^32 - 1. Defaults to 0.

    Raises:
        ValueError: `levels` has no levels of inference or levels with other relations
            than the last, a number is not a positive integer, or `seed` is out of
            range.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.tasks.graphs import InferenceTask
        >>> from keras_dnc.tasks.levels import Levels
        >>> relations = {"grandmother": ("mother", "mother")}
        >>> task = InferenceTask(relations, 2, 3, 1, 1, least_share=0.05)
        >>> levels = Levels([task])
        >>> inputs = keras.Input((None, task.observation_size))
        >>> outputs = keras.layers.LSTM(90, return_sequences=True)(inputs)
        >>> model = keras.Model(inputs, outputs)
        >>> model.compile("adam", keras_dnc.GroupedCrossentropy())
        >>> sampling = RelationSampling(levels, size=10)
        >>> data = levels.dataset(batch_size=4, steps=2)
        >>> history = model.fit(data, callbacks=[sampling], verbose=0)
        >>> sorted(task.relation_errors)
        ['grandmother', 'mother']

    References:
        - Jiang, Grefenstette and Rocktäschel 2021, Prioritized level replay, ICML:
          levels are drawn by how much is left to learn from them.
    """

    def __init__(
        self, levels: Any, size: int = 1000, batch_size: int = 100, seed: int = 0
    ) -> None:
        super().__init__()
        kind = "a `Levels` of `InferenceTask`"
        check_attributes("levels", levels, kind, ("level", "tasks"))
        for task in levels.tasks:
            check_attributes("levels", task, kind, ("survey", "set_relation_errors"))
        self._check_relations(levels.tasks)
        self.levels = levels
        self.size = positive_integer("size", size)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.seed = random_seed("seed", seed)

    @staticmethod
    def _check_relations(tasks: Any) -> None:
        """Refuse tasks with different relations, whose errors cannot be shared."""
        for level, task in enumerate(tasks):
            if task.relations != tasks[-1].relations:
                raise ValueError(
                    "Argument `levels` must have tasks with the same relations. "
                    f"Received: other relations at level {level} than at the last"
                )

    @property
    def errors(self) -> dict[Any, float]:
        """Dict from the relations that have been asked to their errors."""
        return self.levels.tasks[-1].relation_errors

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure the relations of the current level, and tell the tasks.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch, to which the errors are added.
        """
        task = self.levels.tasks[self.levels.level]
        rng = np.random.default_rng([self.seed, epoch])
        batch, relations = task.survey(self.size, rng)
        outputs = self.model.predict(batch.inputs, self.batch_size, verbose=0)
        errors = self._updated(relations, task.errors(batch, outputs) > 0)
        self._tell(errors)
        if logs is not None:
            right = [1.0 - errors[relation] for relation in dict.fromkeys(relations)]
            logs["relations_right"] = float(np.mean(right))
            logs["worst_relation_right"] = min(right)

    def _updated(self, relations: list[Any], wrong: np.ndarray) -> dict[Any, float]:
        """Average the new answers with the earlier estimates of the errors."""
        answers: dict[Any, list[bool]] = {}
        for relation, is_wrong in zip(relations, wrong.tolist(), strict=True):
            answers.setdefault(relation, []).append(is_wrong)
        errors = dict(self.errors)
        for relation, found in answers.items():
            before = _PRIOR if relation in errors else 0
            total = before * errors.get(relation, 0.0) + sum(found)
            errors[relation] = total / (before + len(found))
        return errors

    def _tell(self, errors: dict[Any, float]) -> None:
        """Set the errors of the relations in all tasks."""
        for task in self.levels.tasks:
            task.set_relation_errors(errors)

    def get_state(self) -> dict[str, Any]:
        """Return the errors in the order of the relations, for `fit_or_resume`."""
        relations = self.levels.tasks[-1].relations
        return {"errors": [self.errors.get(relation) for relation in relations]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the errors.

        Args:
            state: Dict that `get_state` returned, possibly by way of JSON.
        """
        relations = self.levels.tasks[-1].relations
        found = zip(relations, state["errors"], strict=True)
        self._tell({relation: error for relation, error in found if error is not None})
