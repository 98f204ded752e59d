"""Callbacks end lessons, raise levels, and report."""

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.tasks.arithmetic import AddingTask
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.levels import Levels


def fit(callback, epochs=20):
    keras.utils.set_random_seed(0)
    inputs = np.ones((8, 2), "float32")
    from_zero = keras.layers.Dense(1, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((2,)), from_zero])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    fitted = model.fit(
        inputs, inputs[:, :1], epochs=epochs, callbacks=[callback], verbose=0
    )
    return fitted.history["loss"]


def test_training_ends_after_the_first_epoch_that_is_good_enough():
    losses = fit(keras_dnc.StopAt("loss", 1e-3))
    assert len(losses) < 20
    assert losses[-1] <= 1e-3 < losses[-2]


def test_training_goes_on_where_no_epoch_is_good_enough():
    assert len(fit(keras_dnc.StopAt("loss", -1.0), epochs=3)) == 3


def test_a_figure_that_is_not_logged_is_refused():
    with pytest.raises(ValueError, match="`monitor` must be one of .*'loss'"):
        fit(keras_dnc.StopAt("val_loss", 0.1))


def copying_model(task):
    """A model of no weights that says what it is shown, at once: never a copy."""
    inputs = keras.Input((None, task.observation_size))
    shown = inputs[:, :, : task.target_size]
    return keras.Model(inputs, 2.0 * shown - 1.0)


def reported(callback, task, epochs=1):
    callback.set_model(copying_model(task))
    for epoch in range(epochs):
        callback.on_epoch_end(epoch, {})
    callback.on_train_end()
    return callback


def test_a_sample_is_drawn_every_few_epochs(capsys):
    task = CopyTask(num_bits=3, min_length=4, max_length=4)
    report = reported(keras_dnc.SampleReport(task, every=2), task, epochs=5)
    said = capsys.readouterr().out
    drawing = task.to_text(report.episode, np.full((9, 3), -1.0))
    assert said.count(drawing) == 2


def test_errors_are_counted_on_longer_sequences(capsys):
    tasks = {n: CopyTask(num_bits=8, min_length=n, max_length=n) for n in (3, 30)}
    report = reported(keras_dnc.GeneralisationReport(tasks, size=50), tasks[3])
    said = capsys.readouterr().out
    for length, errors in report.errors.items():
        assert errors == pytest.approx(4.0 * length, rel=0.2)  # half of 8 bits a step
        assert f"{length:>4}  {errors:.3f}\n" in said


def test_a_level_is_raised_when_it_is_learned_and_found_again_in_the_log():
    levels = Levels([CopyTask(max_length=n) for n in (1, 2, 4)])
    curriculum = keras_dnc.Curriculum(levels, "bit_errors", 0.5)
    logs = [{"bit_errors": errors} for errors in (0.9, 0.4, 0.7, 0.5, 0.1)]
    for epoch, log in enumerate(logs):
        curriculum.on_epoch_end(epoch, log)
    assert [log["level"] for log in logs] == [0, 0, 1, 1, 2]
    assert levels.level == 2
    again = Levels(levels.tasks)
    keras_dnc.Curriculum(again, "bit_errors", 0.5, logs[:2])
    assert again.level == 1


def test_a_figure_may_have_to_rise_to_its_goal():
    levels = Levels([CopyTask(max_length=n) for n in (1, 2, 4)])
    curriculum = keras_dnc.Curriculum(levels, "accuracy", 0.9, mode="max")
    for accuracy, level in ((0.2, 0), (0.9, 1), (0.89, 1)):
        curriculum.on_epoch_end(0, {"accuracy": accuracy})
        assert levels.level == level


def test_a_curriculum_needs_the_figure_it_watches():
    levels = Levels([CopyTask(max_length=1)])
    with pytest.raises(ValueError, match="`monitor` must be one of"):
        keras_dnc.Curriculum(levels, "bit_errors", 0.5).on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize("pad_to_level", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_is_fitted_through_its_levels(pad_to_level, jit_compile):
    make = [CopyTask(num_bits=2, max_length=n) for n in (1, 2, 4)]
    levels = Levels(make, pad_to_level=pad_to_level)
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, keras.layers.LSTM(2, return_sequences=True)(inputs))
    model.compile(
        "adam",
        keras_dnc.SequenceCrossentropy(),
        weighted_metrics=[keras_dnc.BitErrors()],
        jit_compile=jit_compile and keras.backend.backend() != "torch",
    )
    curriculum = keras_dnc.Curriculum(levels, "bit_errors", 100.0)
    data = levels.dataset(batch_size=4, steps=3)
    fitted = model.fit(data, epochs=4, callbacks=[curriculum], verbose=0)
    assert fitted.history["level"] == [0, 1, 2, 2]


def test_a_report_is_made_every_few_epochs_and_once_at_the_end(capsys):
    task = CopyTask(num_bits=2, max_length=2)
    report = keras_dnc.GeneralisationReport({"short": task}, size=4, every=2)
    for epochs, tables in ((4, 2), (5, 3)):
        reported(report, task, epochs)
        assert capsys.readouterr().out.count(task.metric) == tables


def test_a_report_needs_tasks_that_are_measured_in_the_same_thing():
    for tasks in ({}, {"bits": CopyTask(), "sum": AddingTask()}):
        with pytest.raises(ValueError, match="`tasks` must be tasks that are measured"):
            keras_dnc.GeneralisationReport(tasks)
