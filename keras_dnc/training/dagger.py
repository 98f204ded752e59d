"""DAgger: training on situations that the network's own choices lead to."""

import functools
from typing import Any

import keras

from keras_dnc.arguments import probability
from keras_dnc.training.callbacks import check_attributes


class DAgger(keras.callbacks.Callback):
    """A callback that lets a model choose its own way through the training episodes.

    The inputs of some tasks, such as `keras_dnc.tasks.graphs.ShortestPathTask`, depend
    on what was answered before. A model that has only seen right answers does not know
    how to go on after a wrong one. This callback makes a dataset return episodes that
    follow the model's choices, with what it should have answered there as targets.

    The choices are those of the model at the beginning of the epoch, which a copy of
    the model makes. A batch costs as many predictions as its longest answer has steps.
    The batches follow from the weights, the seed and the epoch, so that a run that
    `fit_or_resume` resumes sees the same ones.

    Args:
        dataset: `EpisodeDataset` that the model is trained on.
        task: Task with a method `follow`, such as `ShortestPathTask`.
        own: Probability that a step takes the model's choice and not that of the
            expert. In [0, 1]. Defaults to 0.8.
        share: Fraction of the batches that follow choices at all. In [0, 1]. Defaults
            to 1.

    Raises:
        ValueError: `dataset` has no `revise`, `task` has no `follow`, or `own` or
            `share` is outside [0, 1].

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.tasks.graphs import ShortestPathTask
        >>> task = ShortestPathTask(max_nodes=4, max_path=2)
        >>> dataset = task.dataset(batch_size=4, steps=2)
        >>> inputs = keras.Input((None, task.observation_size))
        >>> outputs = keras.layers.LSTM(90, return_sequences=True)(inputs)
        >>> model = keras.Model(inputs, outputs)
        >>> model.compile("adam", keras_dnc.GroupedCrossentropy())
        >>> history = model.fit(dataset, callbacks=[DAgger(dataset, task)], verbose=0)

    References:
        - Ross, Gordon and Bagnell 2011, A reduction of imitation learning and
          structured prediction to no-regret online learning, AISTATS.
        - Graves et al. 2016, Methods, "Shortest path task".
    """

    def __init__(
        self, dataset: Any, task: Any, own: float = 0.8, share: float = 1.0
    ) -> None:
        super().__init__()
        check_attributes("dataset", dataset, "an `EpisodeDataset`", ("revise",))
        check_attributes("task", task, "a task whose answers are choices", ("follow",))
        self.dataset, self.task = dataset, task
        self.own = probability("own", own, includes_one=True)
        self.share = probability("share", share, includes_one=True)
        self._copy: keras.Model

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Make the copy, before an epoch begins.

        Initializers draw from Python's random numbers, on which the order of batches in
        the epoch depends.

        Args:
            logs: Not used.
        """
        self._copy = keras.models.clone_model(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Copy the weights, whose choices are followed until the epoch ends.

        Args:
            epoch: Index of the epoch. Not used.
            logs: Not used.
        """
        self._copy.set_weights(self.model.get_weights())
        self.dataset.revise = functools.partial(
            self._revise, self._copy.predict_on_batch
        )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Let the dataset return its own episodes again.

        Args:
            logs: Metrics of the last epoch. Not used.
        """
        self.dataset.revise = None

    def _revise(self, predict: Any, batch: Any, rng: Any) -> Any:
        """Return a batch that follows the choices of a copy of the model."""
        if rng.random() >= self.share:
            return batch
        return self.task.follow(predict, batch, self.own, rng)
