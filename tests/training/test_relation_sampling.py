"""Relations with many errors are asked more often."""

import json

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.tasks import graphs
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.levels import Levels
from tests.training.killing import KillAt
from tests.training.killing import KilledError

RELATIONS = {"grandmother": ("mother", "mother")}


def make_levels():
    return Levels(
        [
            graphs.InferenceTask(
                RELATIONS, 3, 4, 1, 1, max_path=longest, least_share=0.1
            )
            for longest in (1, 2)
        ]
    )


OTHER_RELATIONS = Levels(
    [
        graphs.InferenceTask({"ancestor": ("mother",) * count}, 3, 4, 1, 1)
        for count in (2, 3)
    ]
)


class KnowsMothers:
    """A model that answers questions of one edge rightly, and all others wrongly."""

    def __init__(self, levels):
        self.levels = levels

    def predict(self, inputs, batch_size, verbose):
        task = self.levels.tasks[self.levels.level]
        rng = np.random.default_rng([7, self.epoch])
        batch, relations = task.survey(len(inputs), rng)
        np.testing.assert_array_equal(batch.inputs, inputs)
        knows = np.array([relation == "mother" for relation in relations])
        self.counts = {name: relations.count(name) for name in set(relations)}
        return batch.targets * knows[:, None, None]


@pytest.fixture
def sampling():
    levels = make_levels()
    sampling = keras_dnc.RelationSampling(levels, size=40, seed=7)
    sampling.set_model(KnowsMothers(levels))
    return sampling


def end_epoch(sampling, epoch):
    sampling.model.epoch = epoch
    sampling.on_epoch_end(epoch, logs := {})
    return logs


def test_all_levels_are_told_the_errors_of_the_current_one(sampling):
    sampling.levels.level = 1
    logs = end_epoch(sampling, epoch=3)
    assert logs == {"relations_right": 0.5, "worst_relation_right": 0.0}
    for task in sampling.levels.tasks:
        assert task.relation_errors == {"mother": 0.0, "grandmother": 1.0}


def test_an_error_is_averaged_with_the_earlier_estimate(sampling):
    sampling.levels.level = 1
    sampling.levels.tasks[-1].set_relation_errors({"mother": 1.0})
    end_epoch(sampling, epoch=0)
    count = sampling.model.counts["mother"]
    assert sampling.errors == {"mother": 5 / (5 + count), "grandmother": 1.0}


def test_a_relation_that_the_level_does_not_ask_keeps_its_error(sampling):
    for task in sampling.levels.tasks:
        task.set_relation_errors({"grandmother": 0.25})
    logs = end_epoch(sampling, epoch=0)
    assert sampling.errors["grandmother"] == 0.25
    assert logs["relations_right"] == 1.0  # of those that the level asks


def test_its_state_is_restored_from_json(sampling):
    sampling.levels.tasks[-1].set_relation_errors({"mother": 0.5})
    state = json.loads(json.dumps(sampling.get_state()))
    other = keras_dnc.RelationSampling(make_levels())
    other.set_state(state)
    assert all(task.relation_errors == {"mother": 0.5} for task in other.levels.tasks)


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path):
    inputs = keras.Input((None, graphs.GraphTask.observation_size))
    model = keras.Model(inputs, keras.layers.Dense(90)(inputs))
    start = model.get_weights()

    def fit(folder, *callbacks):
        levels = make_levels()
        levels.level = 1
        for task in levels.tasks:
            task.set_relation_errors({"mother": 0.0})  # rises as it is answered wrongly
        model.set_weights(start)
        model.compile(keras.optimizers.Adam(0.1), keras_dnc.GroupedCrossentropy())
        data = levels.dataset(batch_size=8, steps=5)
        callbacks = [keras_dnc.RelationSampling(levels, size=20), *callbacks]
        log = keras_dnc.fit_or_resume(
            *(model, data, folder, "loss", 4, callbacks), verbose=0
        )
        return [(epoch["loss"], epoch["relations_right"]) for epoch in log]

    whole = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", KillAt(2))
    assert fit(tmp_path / "killed") == whole
    assert len({right for _, right in whole}) > 1  # so that the shares have changed


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"levels": 3}, "`levels` must be a `Levels` of `InferenceTask`"),
        ({"levels": Levels([CopyTask()])}, "`levels` must be .*without.*survey"),
        ({"levels": OTHER_RELATIONS}, "the same relations.*at level 0 than"),
        ({"size": 0}, "`size` must be a positive integer"),
        ({"batch_size": 0.5}, "`batch_size` must be a positive integer"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        keras_dnc.RelationSampling(**{"levels": make_levels()} | arguments)
