"""SparseAdam: Adam for rows that have a gradient, nothing for the others."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc import backend
from tests.numbers import assert_close
from tests.numbers import to_numpy

ROWS, WIDTH = 7, 3


def updated(optimizer, steps, shape=(ROWS, WIDTH)):
    """Apply gradients one after the other to a variable of ones; all numbers kept."""
    variable = keras.Variable(np.ones(shape, "float32"))
    optimizer.build([variable])
    for gradient in steps:
        optimizer.apply([gradient], [variable])
    return [to_numpy(v.value) for v in (variable, *optimizer.variables)]


def dense(gradient):
    return ops.convert_to_tensor(gradient.astype("float32"))


@pytest.mark.parametrize("shape", [(ROWS, WIDTH), (ROWS,)])
def test_with_a_gradient_everywhere_it_is_adam(shape, rng):
    steps = [dense(rng.normal(size=shape)) for _ in range(3)]
    ours = updated(keras_dnc.SparseAdam(0.1), steps, shape)
    adam = updated(keras.optimizers.Adam(0.1), steps, shape)
    for actual, expected in zip(ours, adam, strict=True):
        assert_close(actual, expected)


def test_a_row_without_a_gradient_stands_still(rng):
    gradient = rng.normal(size=(ROWS, WIDTH))
    gradient[[2, 5]] = 0.0
    gradient[3, :-1] = 0.0  # one number is a gradient
    once = updated(keras_dnc.SparseAdam(0.1), [dense(gradient)])
    idle = np.zeros((ROWS, WIDTH))
    idle[2] = 1.0
    twice = updated(keras_dnc.SparseAdam(0.1), [dense(gradient), dense(idle)])
    for before, after in zip(once, twice, strict=True):
        if before.shape == (ROWS, WIDTH):
            others = [0, 1, 3, 4, 5, 6]
            np.testing.assert_array_equal(after[others], before[others])
    assert np.all(once[0][[2, 5]] == 1.0) and once[0][3, -1] != 1.0
    assert np.all(twice[0][2] < 1.0)
    adam = updated(keras.optimizers.Adam(0.1), [dense(gradient), dense(idle)])
    assert np.all(adam[0][0] != twice[0][0])  # Adam moves it on


@pytest.mark.only("tensorflow", "torch")
@pytest.mark.parametrize("rows", [[[4, 1, 4], [0, 4, 6]], [[1]]])
def test_a_sparse_gradient_updates_as_the_dense_one(rows, rng):
    rows = np.array(rows)
    shape = (*rows.shape, WIDTH)
    by_rows = [rng.normal(size=shape).astype("float32") for _ in range(3)]
    ends = []
    for sparse_gradient in (True, False):
        steps = [gradient_of_rows(rows, one, sparse_gradient) for one in by_rows]
        assert all(
            (backend.rows_of_gradient(s) is None) != sparse_gradient for s in steps
        )
        ends.append(updated(keras_dnc.SparseAdam(0.1), steps))
    for sparse, plain in zip(*ends, strict=True):
        assert_close(sparse, plain)
    assert np.all(ends[0][0][[2, 3, 5]] == 1.0)


def gradient_of_rows(rows, by_rows, sparse_gradient):
    """The gradient of a table for the gradient of its rows."""
    table = np.ones((ROWS, WIDTH), "float32")
    if keras.backend.backend() == "torch":
        import torch

        table = torch.tensor(table, requires_grad=True)
        taken = backend.take_rows(table, rows, sparse_gradient)
        taken.backward(torch.tensor(by_rows))
        return table.grad
    import tensorflow as tf

    table = tf.Variable(table)
    with tf.GradientTape() as tape:
        taken = backend.take_rows(table, rows, sparse_gradient)
    return tape.gradient(taken, table, output_gradients=tf.constant(by_rows))


@pytest.mark.only("tensorflow")
def test_rows_are_taken_with_a_gradient_that_every_optimizer_reads_right(rng):
    rows = np.array([4, 1, 4])
    by_rows = rng.normal(size=(3, WIDTH)).astype("float32")
    gradient = to_numpy(gradient_of_rows(rows, by_rows, sparse_gradient=False))
    expected = np.zeros((ROWS, WIDTH))
    np.add.at(expected, rows, by_rows)
    assert_close(gradient, expected)


@pytest.mark.only("tensorflow")
@pytest.mark.xfail(reason="Adam squares each gradient of a row, not their sum")
def test_keras_adam_reads_a_sparse_gradient_right():
    rows, by_rows = np.array([4, 4]), np.ones((2, WIDTH), "float32")
    sparse, plain = (
        updated(keras.optimizers.Adam(0.1), [gradient_of_rows(rows, by_rows, kind)])
        for kind in (True, False)
    )
    for actual, expected in zip(sparse, plain, strict=True):
        assert_close(actual, expected)


def test_it_is_saved_with_a_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile(keras_dnc.SparseAdam(0.02, beta_1=0.8), "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert isinstance(optimizer, keras_dnc.SparseAdam)
    assert optimizer.get_config() == model.optimizer.get_config()


@pytest.mark.parametrize(
    "argument", [{"amsgrad": True}, {"weight_decay": 0.1}, {"clipnorm": 1.0}]
)
def test_what_is_not_done_row_by_row_is_refused(argument):
    with pytest.raises(ValueError, match=f"`{next(iter(argument))}` must be left out"):
        keras_dnc.SparseAdam(**argument)
