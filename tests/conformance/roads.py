"""What users do with a model, each as a function that fails where it does not work.

`test_roads` runs them for a few cells. `python -m tests.conformance.table` runs them
for all cells on every backend, and writes `docs/conformance.md`.
"""

import keras
import numpy as np

import keras_dnc
from tests.numbers import assert_close
from tests.numbers import to_numpy

BATCH, TIME, FEATURES = 4, 3, 5
INPUTS = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype("float32")
TARGETS = np.zeros((BATCH, 2), "float32")
POLICIES = ("float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def model_of(make, kind=keras_dnc.MemoryRNN):
    layers = [keras.Input((None, FEATURES)), kind(make()), keras.layers.Dense(2)]
    return keras.Sequential(layers)


def trained(model, data=None, optimizer=None, **compiled):
    """Fit a model, without XLA on TensorFlow; losses and outputs must be finite."""
    keras.utils.set_random_seed(0)
    compiled = {"jit_compile": keras.backend.backend() == "jax", **compiled}
    model.compile(optimizer or keras.optimizers.Adam(), "mse", **compiled)
    inputs = (INPUTS, TARGETS) if data is None else (data,)
    history = model.fit(*inputs, batch_size=None if data else 2, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    outputs(model)
    return model


def outputs(model):
    found = to_numpy(model(INPUTS)).astype("float32")
    assert found.shape == (BATCH, 2) and np.all(np.isfinite(found))
    return found


def same(model, other):
    # A half-precision sum may be taken in another order.
    half = any("16" in layer.compute_dtype for layer in model.layers)
    assert_close(outputs(other), outputs(model), 2e-2 if half else 1e-5)


def fit_save_load(make, folder):
    model = trained(model_of(make))
    model.save(folder / "model.keras")
    same(model, keras.models.load_model(folder / "model.keras"))


def tf_data(make, folder):
    import tensorflow as tf

    pairs = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS))
    trained(model_of(make), pairs.batch(2).repeat(2).prefetch(1))


def steps_per_execution(make, folder):
    trained(model_of(make), steps_per_execution=2)


def gradient_accumulation(make, folder):
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=2)
    trained(model_of(make), optimizer=optimizer)


def moving_average(make, folder):
    optimizer = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9)
    averaged, model = model_of(make), model_of(make)
    model.set_weights(averaged.get_weights())
    trained(averaged, optimizer=optimizer)
    trained(model, optimizer=keras.optimizers.Adam(1e-2))
    weights = zip(averaged.get_weights(), model.get_weights(), strict=True)
    assert any(np.max(np.abs(a - b)) > 1e-3 for a, b in weights)


def weights_file(make, folder):
    model, other = model_of(make), model_of(make)
    model.save_weights(folder / "model.weights.h5")
    other.load_weights(folder / "model.weights.h5")
    same(model, other)


def weights_of_the_plain_layer(make, folder):
    plain, model = model_of(make, keras.layers.RNN), model_of(make)
    model.set_weights(plain.get_weights())
    same(plain, model)
    other = model_of(make, keras.layers.RNN)
    other.set_weights(model.get_weights())
    same(model, other)


def export(make, folder):
    import tensorflow as tf

    model = model_of(make)
    model.export(folder / "export", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(folder / "export")
    assert_close(loaded.serve(INPUTS), outputs(model), 1e-5)


def tf_saved_model(make, folder):
    import tensorflow as tf

    model = model_of(make)
    tf.saved_model.save(model, str(folder / "saved"))
    tf.saved_model.load(str(folder / "saved"))


def quantize(make, folder):
    """To int8, which the loaded file keeps; the answers stay near."""
    model = model_of(make)
    exact = outputs(model)
    model.quantize("int8")
    assert_close(outputs(model), exact, 0.1)
    model.save(folder / "int8.keras")
    same(model, keras.models.load_model(folder / "int8.keras"))


# Each takes a function that makes a cell, and an empty folder.
FITS = {
    "fit, save, load": fit_save_load,
    "tf.data": tf_data,
    "steps_per_execution": steps_per_execution,
    "gradient accumulation": gradient_accumulation,
    "EMA of weights": moving_average,
}
CONVERSIONS = {
    "save_weights": weights_file,
    "weights of keras.layers.RNN": weights_of_the_plain_layer,
    "model.export": export,
    "quantize int8": quantize,
}
ROADS = {**FITS, **CONVERSIONS, "tf.saved_model.save": tf_saved_model}
