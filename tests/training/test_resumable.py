"""A training that was killed goes on where it was, and loses nothing."""

import csv
import warnings

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.training.data_order import ShuffledArrays
from tests.training.killing import KillAt
from tests.training.killing import KilledError

INPUTS = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
TARGETS = INPUTS.sum(axis=1, keepdims=True)


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


def fit(folder, epochs=6, callbacks=(), model=None, **arguments):
    model = model or new_model()
    data = {"validation_data": (INPUTS, TARGETS), "batch_size": 8, "verbose": 0}
    data |= arguments
    log = keras_dnc.fit_or_resume(
        *(model, INPUTS, folder, "val_loss", epochs, callbacks), y=TARGETS, **data
    )
    return model, log


def assert_equal_weights(model, other):
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def without_seconds(log):
    return [{name: row[name] for name in row if name != "seconds"} for row in log]


@pytest.mark.parametrize("epoch", [0, 1, 4])
def test_a_killed_training_ends_as_if_it_had_not_been(tmp_path, epoch):
    whole, log = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", callbacks=[KillAt(epoch)])
    resumed, other = fit(tmp_path / "killed")
    assert [row["epoch"] for row in other] == [0, 1, 2, 3, 4, 5]
    assert without_seconds(other) == without_seconds(log)
    assert_equal_weights(whole, resumed)


def test_a_model_that_has_resumed_one_run_can_train_another(tmp_path):
    with pytest.raises(KilledError):
        fit(tmp_path / "one", callbacks=[KillAt(2)])
    model, _ = fit(tmp_path / "one")
    _, log = fit(tmp_path / "two", epochs=3, model=model)
    assert [row["epoch"] for row in log] == [0, 1, 2]


def test_the_weights_are_those_of_the_best_epoch_even_before_the_kill(tmp_path):
    with pytest.raises(KilledError):
        fit(tmp_path, callbacks=[KillAt(3)])
    best = new_model()
    best.load_weights(tmp_path / "best.weights.h5")
    resumed, _ = fit(tmp_path, callbacks=[Worse(3)])
    assert_equal_weights(best, resumed)


def test_with_mode_max_the_weights_are_those_of_the_highest_value(tmp_path):
    third, _ = fit(tmp_path / "three", epochs=3)
    with pytest.raises(KilledError):
        fit(tmp_path / "max", callbacks=[Worse(2), KillAt(3)], mode="max")
    highest, log = fit(tmp_path / "max", mode="max")
    assert np.argmax([row["val_loss"] for row in log]) == 2
    assert_equal_weights(third, highest)
    with pytest.raises(ValueError, match="`mode` must be one of"):
        fit(tmp_path / "other", mode="highest")


def test_of_equal_epochs_the_last_is_the_best(tmp_path):
    third, _ = fit(tmp_path / "three", epochs=3)
    equal, log = fit(tmp_path / "equal", epochs=3, callbacks=[Worse(0)])
    assert [row["val_loss"] for row in log] == [1e3] * 3
    assert_equal_weights(third, equal)


def test_a_first_epoch_of_nan_is_not_the_best(tmp_path):
    def spoil(epoch, logs):
        if epoch == 0:
            logs["val_loss"] = np.nan

    spoiled = [keras.callbacks.LambdaCallback(on_epoch_end=spoil)]
    whole, _ = fit(tmp_path / "whole", epochs=3)
    model, _ = fit(tmp_path / "spoiled", epochs=3, callbacks=spoiled)
    assert_equal_weights(whole, model)


def test_a_training_that_is_over_is_not_begun_again(tmp_path):
    first, log = fit(tmp_path)
    second, same = fit(tmp_path, callbacks=[KillAt(0), KillAt(6)])
    assert same == log
    assert all(row["seconds"] > 0.0 for row in log)
    assert_equal_weights(first, second)


def test_more_epochs_after_the_end_train_on(tmp_path):
    whole, log = fit(tmp_path / "whole", epochs=5)
    fit(tmp_path / "parts", epochs=3)
    model, other = fit(tmp_path / "parts", epochs=5)
    assert without_seconds(other) == without_seconds(log)
    assert_equal_weights(whole, model)


def test_an_early_end_is_an_end(tmp_path):
    _, log = fit(tmp_path, epochs=50, callbacks=[keras_dnc.StopAt("val_loss", 1.0)])
    assert len(log) < 50
    assert fit(tmp_path, epochs=50)[1] == log


def test_patience_counts_the_epochs_before_a_kill(tmp_path):
    def stopped(folder, *callbacks):
        patient = keras.callbacks.EarlyStopping("val_loss", patience=3)
        return fit(folder, epochs=9, callbacks=[Worse(2), *callbacks, patient])[1]

    log = stopped(tmp_path / "whole")
    with pytest.raises(KilledError):
        stopped(tmp_path / "killed", KillAt(4))
    assert len(log) == 5
    assert without_seconds(stopped(tmp_path / "killed")) == without_seconds(log)


@pytest.mark.parametrize("name", ["newest checkpoint", "log.csv", "best.weights.h5"])
def test_a_damaged_file_is_mended(tmp_path, name):
    whole, log = fit(tmp_path / "whole")
    folder = tmp_path / "damaged"
    with pytest.raises(KilledError):
        fit(folder, callbacks=[KillAt(4)])
    path = folder / name
    if name == "newest checkpoint":
        path = max((folder / "checkpoints").iterdir())
    path.write_bytes(path.read_bytes()[:-30])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, other = fit(folder)
    assert without_seconds(other) == without_seconds(log)
    assert_equal_weights(whole, model)
    best = new_model()
    best.load_weights(folder / "best.weights.h5")
    assert_equal_weights(whole, best)
    with (folder / "log.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(6))


def test_best_weights_cut_short_after_the_end_are_written_again(tmp_path):
    whole, _ = fit(tmp_path)
    path = tmp_path / "best.weights.h5"
    path.write_bytes(path.read_bytes()[:100])
    fit(tmp_path)
    best = new_model()
    best.load_weights(path)
    assert_equal_weights(whole, best)


def test_a_dataset_without_an_epoch_is_told_of_those_that_are_skipped(tmp_path):
    class Counting(keras.utils.PyDataset):
        ended = 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return INPUTS + self.ended, TARGETS

        def on_epoch_end(self):
            self.ended += 1

    whole, killed = new_model(), new_model()
    data = {"monitor": "loss", "verbose": 0}
    keras_dnc.fit_or_resume(whole, Counting(), tmp_path / "whole", epochs=3, **data)
    keras_dnc.fit_or_resume(killed, Counting(), tmp_path / "parts", epochs=1, **data)
    killed = new_model()
    keras_dnc.fit_or_resume(killed, Counting(), tmp_path / "parts", epochs=3, **data)
    assert_equal_weights(whole, killed)


def test_another_model_is_refused(tmp_path):
    fit(tmp_path, epochs=1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"`model` must be that of .*\(3, 2\)"):
        fit(tmp_path, epochs=2, model=model)
    with pytest.raises(ValueError, match=r"`model` must be that of .*\(3, 2\)"):
        fit(tmp_path, epochs=1, model=model)


def test_after_the_end_a_model_without_weights_is_refused(tmp_path):
    fit(tmp_path, epochs=1)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="`model` must be built"):
        fit(tmp_path, epochs=1, model=model)


def test_a_seed_is_checked_before_the_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0"):
        fit(tmp_path / "run", seed=-1)
    assert not (tmp_path / "run").exists()


def test_without_shuffling_batches_are_trained_on_in_order(tmp_path, monkeypatch):
    indices = []
    batch = ShuffledArrays.__getitem__
    monkeypatch.setattr(
        ShuffledArrays,
        "__getitem__",
        lambda self, index: indices.append(index) or batch(self, index),
    )
    fit(tmp_path, epochs=2, batch_size=4, shuffle=False)
    assert indices[-8:] == list(range(8))


@pytest.mark.parametrize("name", ["backup", "done"])
def test_a_folder_of_an_earlier_version_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="`folder` must not hold a run of an earlier"):
        fit(tmp_path)


def test_a_folder_in_use_is_refused(tmp_path):
    class Second(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            with pytest.raises(RuntimeError, match="Another process trains in .*"):
                fit(tmp_path)

    fit(tmp_path, epochs=1, callbacks=[Second()])


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


def test_an_empty_file_of_settings_is_written_again(tmp_path):
    path = tmp_path / "config.json"
    path.touch()
    keras_dnc.check_settings(str(path), {"rate": 0.1})
    with pytest.raises(ValueError, match="`settings` must be"):
        keras_dnc.check_settings(path, {"rate": 0.2})


@pytest.mark.parametrize("text", ['{"rate": 0.', "[1]"])
def test_a_damaged_file_of_settings_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"`path` must be a JSON .*config\.json"):
        keras_dnc.check_settings(path, {"rate": 0.1})
