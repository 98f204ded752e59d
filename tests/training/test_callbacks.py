"""StopAt ends training when a lesson is learned."""

import keras
import numpy as np
import pytest

import keras_dnc


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
