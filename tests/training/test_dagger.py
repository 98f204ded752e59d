"""A model is trained where its own choices lead."""

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.tasks.graphs import ShortestPathTask
from keras_dnc.tasks.task import EpisodeBatch
from tests.training.killing import KillAt
from tests.training.killing import KilledError

TASK = ShortestPathTask(4, 6, 2, 2, max_path=3, planning_steps=1)


@pytest.fixture
def model():
    inputs = keras.Input((None, TASK.observation_size))
    outputs = keras.layers.LSTM(90, return_sequences=True)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.1), keras_dnc.GroupedCrossentropy())
    return model


class Seen(keras.callbacks.Callback):
    """A callback that reads a batch in the middle of an epoch."""

    def __init__(self, dataset):
        super().__init__()
        self.dataset, self.batches = dataset, []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(self.dataset[0])


def test_batches_follow_the_choices_of_the_model_as_it_was(model):
    dataset = TASK.dataset(batch_size=16, steps=4, seed=5)
    dataset.epoch = 1  # `fit` begins with it, after it has built the model
    expected = TASK.follow(model.predict_on_batch, EpisodeBatch(*dataset[0]))
    dataset.epoch = 0
    seen = Seen(dataset)
    dagger = keras_dnc.DAgger(dataset, TASK, own=1.0)
    model.fit(dataset, callbacks=[dagger, seen], verbose=0)
    for found, right in zip(seen.batches[1], expected, strict=True):  # 2 updates later
        np.testing.assert_array_equal(found, right)
    assert dataset.revise is None  # after training


def test_a_killed_run_ends_as_if_it_had_not_been(model, tmp_path):
    start = model.get_weights()

    def fit(folder, *callbacks):
        model.set_weights(start)
        model.compile(keras.optimizers.Adam(0.1), keras_dnc.GroupedCrossentropy())
        dataset = TASK.dataset(batch_size=4, steps=6, seed=5)
        callbacks = [keras_dnc.DAgger(dataset, TASK), *callbacks]
        log = keras_dnc.fit_or_resume(
            *(model, dataset, folder, "loss", 3, callbacks), verbose=0
        )
        return [epoch["loss"] for epoch in log]

    whole = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", KillAt(1))
    assert fit(tmp_path / "killed") == whole


def test_a_share_of_the_batches_follows_choices(model):
    dataset = TASK.dataset(batch_size=2, steps=200)
    dagger = keras_dnc.DAgger(dataset, TASK, share=0.25)
    calls = []
    dagger.task = type("Counting", (), {"follow": lambda *a: calls.append(a) or a[2]})()
    dagger.set_model(model)
    dagger.on_train_begin()
    dagger.on_epoch_begin(0)
    for index in range(200):
        dataset[index]
    assert 30 < len(calls) < 70


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"dataset": 3}, "`dataset` must be an `EpisodeDataset`"),
        ({"task": keras_dnc}, "`task` must be a task whose answers are choices"),
        ({"own": 1.5}, "`own` must be at least 0 and at most 1"),
        ({"share": -0.5}, "`share` must be at least 0 and at most 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    valid = {"dataset": TASK.dataset(2, 2), "task": TASK}
    with pytest.raises(ValueError, match=match):
        keras_dnc.DAgger(**{**valid, **arguments})
