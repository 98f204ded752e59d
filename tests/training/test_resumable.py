"""A training that was killed goes on where it was, and loses nothing."""

import keras
import numpy as np
import pytest

import keras_dnc

INPUTS = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
TARGETS = INPUTS.sum(axis=1, keepdims=True)


class KilledError(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """As if the process ended in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise KilledError


class Worse(keras.callbacks.Callback):
    """Makes an epoch worse than all before it."""

    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch >= self.at:
            logs["val_loss"] = 1e3


def new_model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    decay = keras.optimizers.schedules.CosineDecay(0.1, 60)
    model.compile(keras.optimizers.Adam(decay), "mse")
    return model


def fit(folder, epochs=6, callbacks=(), model=None):
    model = model or new_model()
    data = {"validation_data": (INPUTS, TARGETS), "batch_size": 8, "verbose": 0}
    log = keras_dnc.fit_or_resume(
        *(model, INPUTS, folder, "val_loss", epochs, callbacks), y=TARGETS, **data
    )
    return model, log


@pytest.mark.soak
@pytest.mark.parametrize("epoch", [0, 1, 4])
def test_a_killed_training_ends_as_if_it_had_not_been(tmp_path, epoch):
    whole, log = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", callbacks=[KillAt(epoch)])
    resumed, other = fit(tmp_path / "killed")
    assert [row["epoch"] for row in other] == [0, 1, 2, 3, 4, 5]
    assert len(log) == 6
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=0.05)  # batches came in another order


@pytest.mark.soak
def test_the_weights_are_those_of_the_best_epoch_even_before_the_kill(tmp_path):
    with pytest.raises(KilledError):
        fit(tmp_path, callbacks=[KillAt(3)])
    best = new_model()
    best.load_weights(tmp_path / "best.weights.h5")
    resumed, _ = fit(tmp_path, callbacks=[Worse(3)])
    for a, b in zip(best.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_training_that_is_over_is_not_begun_again(tmp_path):
    first, log = fit(tmp_path)
    second, same = fit(tmp_path, callbacks=[KillAt(0), KillAt(6)])
    assert same == log
    assert all(row["seconds"] > 0.0 for row in log)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_an_early_end_is_an_end(tmp_path):
    _, log = fit(tmp_path, epochs=50, callbacks=[keras_dnc.StopAt("val_loss", 1.0)])
    assert len(log) < 50
    assert fit(tmp_path, epochs=50)[1] == log


@pytest.mark.soak
def test_a_model_that_goes_on_from_a_backup_is_refused_elsewhere(tmp_path):
    with pytest.raises(KilledError):
        fit(tmp_path / "one", callbacks=[KillAt(2)])
    model, _ = fit(tmp_path / "one")
    with pytest.raises(ValueError, match="`model` must be a new one"):
        fit(tmp_path / "two", model=model)


def test_a_figure_that_is_not_logged_is_refused(tmp_path):
    model = new_model()
    with pytest.raises(ValueError, match="`monitor` must be one of .*'loss'"):
        keras_dnc.fit_or_resume(
            *(model, INPUTS, tmp_path, "accuracy", 2), y=TARGETS, verbose=0
        )


def test_a_training_without_validation_is_logged(tmp_path):
    log = keras_dnc.fit_or_resume(
        *(new_model(), INPUTS, tmp_path, "loss", 2), y=TARGETS, verbose=0
    )
    assert [set(row) for row in log] == [{"epoch", "loss", "seconds"}] * 2


def test_settings_are_kept_and_others_refused(tmp_path):
    path = tmp_path / "config.json"
    settings = {"rate": 0.1, "output": tmp_path, "data": "here"}
    keras_dnc.check_settings(path, settings)
    keras_dnc.check_settings(path, {**settings, "data": "there"}, free=("data",))
    with pytest.raises(ValueError, match=r"`settings` must be .*0\.1.*Received.*0\.2"):
        keras_dnc.check_settings(path, {**settings, "rate": 0.2})
