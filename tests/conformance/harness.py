"""Small pieces that the conformance tests share."""

import contextlib

import keras
import numpy as np

from tests.numbers import assert_close
from tests.numbers import to_numpy

BATCH, TIME, FEATURES, OUTPUTS = 3, 6, 5, 10
LENGTHS = (6, 4, 1)


def random_inputs(rng, batch=BATCH, time=TIME):
    return rng.normal(size=(batch, time, FEATURES)).astype("float32")


def random_targets(rng, batch=BATCH, time=TIME):
    return rng.normal(size=(batch, time, OUTPUTS)).astype("float32")


def length_mask(lengths=LENGTHS, time=TIME):
    return np.arange(time)[None] < np.array(lengths)[:, None]


def full_rnn(cell, **arguments):
    """The layer that gives everything: all outputs, and the states."""
    return keras.layers.RNN(cell, return_sequences=True, return_state=True, **arguments)


def functional_model(cell, time=None, batch=None, **arguments):
    inputs = keras.Input(batch_shape=(batch, time, FEATURES))
    outputs = keras.layers.RNN(cell, return_sequences=True, **arguments)(inputs)
    return keras.Model(inputs, outputs)


def rnn_policy(cell):
    """What the layer around `cell` takes beside a mixed policy of the cell's own."""
    return {"dtype": "float32"} if cell.numbers_slots else {}


@contextlib.contextmanager
def dtype_policy(name):
    """Make layers under a policy, as `keras.config.set_dtype_policy` does."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def compile_model(model, jit_compile="auto"):
    """Compile for training; "auto" is XLA on JAX and a plain graph on TensorFlow."""
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=jit_compile)
    if model.built:
        # Else its variables are made while `fit` is traced, and TensorFlow traces anew.
        model.optimizer.build(model.trainable_variables)
    return model


def check_learns(model, inputs, targets, epochs=8):
    """Fit a few epochs; the loss must fall and stay finite. Give the losses.

    So must every weight have moved since the first update, before which a model may not
    be built: Adam's step is of the order of its rate, and 0 where no gradient comes.
    """
    after = []  # each epoch, of one update, the weights

    def remember(epoch, logs):
        after.append([to_numpy(v.value) for v in model.trainable_variables])

    fitted = model.fit(
        *(inputs, targets),
        epochs=epochs,
        batch_size=len(inputs),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=remember)],
        verbose=0,
    )
    losses = fitted.history["loss"]
    assert np.all(np.isfinite(losses)), losses
    assert losses[-1] < losses[0], losses
    paths = [v.path for v in model.trainable_variables]
    assert any("interface" in path for path in paths), paths
    pairs = zip(paths, after[0], after[-1], strict=True)
    assert [path for path, *ends in pairs if np.array_equal(*ends)] == []
    return losses


def check_same(actual, expected, tolerance=1e-5):
    """Compare two lists of tensors."""
    for a, b in zip(to_numpy(actual), to_numpy(expected), strict=True):
        assert_close(a, b, tolerance)
