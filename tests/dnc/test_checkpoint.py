"""load_deepmind_weights: dicts, checkpoints, and what it refuses."""

import re

import keras
import numpy as np
import pytest

import keras_dnc
from tests.numbers import to_numpy

CELL = {"controller": 8, "memory_size": 7, "word_size": 4, "num_reads": 2}


@pytest.fixture
def weights(rng):
    """Arrays under deepmind/dnc's names, for 5 inputs, 3 outputs and `CELL`."""
    sizes = {
        "write_vectors": 4,
        "erase_vectors": 4,
        "free_gate": 2,
        "allocation_gate": 1,
        "write_gate": 1,
        "read_mode": 6,
        "write_keys": 4,
        "write_strengths": 1,
        "read_keys": 8,
        "read_strengths": 2,
    }
    shapes = {f"memory_access/{n}/w": (8, size) for n, size in sizes.items()}
    shapes |= {f"memory_access/{n}/b": (size,) for n, size in sizes.items()}
    shapes |= {"lstm/w": (21, 32), "lstm/b": (32,)}
    shapes |= {"output_linear/w": (16, 3), "output_linear/b": (3,)}
    return {n: rng.normal(size=s).astype("float32") for n, s in shapes.items()}


@pytest.fixture
def cell():
    return keras_dnc.DNCCell(3, **CELL)


def loaded(weights):
    cell = keras_dnc.DNCCell(3, **CELL)
    keras_dnc.load_deepmind_weights(cell, weights)
    return [to_numpy(v.value) for v in cell.trainable_variables]


def assert_same(arrays, expected):
    for array, same in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, same)


def test_an_unbuilt_cell_is_built_for_the_weights(cell, weights):
    keras_dnc.load_deepmind_weights(cell, weights)
    assert cell.built
    assert tuple(cell.controller.kernel.shape) == (5 + 2 * 4, 32)


def test_gates_are_reordered_and_the_forget_bias_added(cell, weights):
    keras_dnc.load_deepmind_weights(cell, weights)
    i, candidate, f, o = np.split(weights["lstm/b"], 4)
    expected = np.concatenate([i, f + 1.0, candidate, o])
    np.testing.assert_array_equal(to_numpy(cell.controller.bias.value), expected)


def test_names_may_carry_a_scope(weights):
    scoped = {f"dnc/core/{name}": value for name, value in weights.items()}
    assert_same(loaded(scoped), loaded(weights))


@pytest.mark.only("tensorflow", "jax")  # the reader is TensorFlow's, on any backend
def test_a_tensorflow_checkpoint_gives_the_same_weights(weights, tmp_path):
    import tensorflow as tf

    names = {"lstm/w": "lstm/w_gates", "lstm/b": "lstm/b_gates"}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in weights.items():
            variable = f"dnc/{names.get(name, name)}"
            tf.compat.v1.get_variable(variable, initializer=value)
            tf.compat.v1.get_variable(f"{variable}/RMSProp", initializer=value)
        tf.compat.v1.get_variable("global_step", initializer=7)
        session.run(tf.compat.v1.global_variables_initializer())
        path = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    assert_same(loaded(path), loaded(weights))
    assert_same(loaded(tmp_path), loaded(weights))


@pytest.mark.only("tensorflow", "jax")
def test_a_path_without_a_checkpoint_is_refused(cell, tmp_path):
    with pytest.raises(FileNotFoundError, match="path of a TensorFlow checkpoint"):
        keras_dnc.load_deepmind_weights(cell, tmp_path / "nowhere")
    (tmp_path / "note.txt").write_text("no checkpoint")
    with pytest.raises(FileNotFoundError, match="path of a TensorFlow checkpoint"):
        keras_dnc.load_deepmind_weights(cell, tmp_path / "note.txt")


@pytest.mark.parametrize(
    "name", ["lstm/w", "lstm/b", "memory_access/free_gate/w", "output_linear/b"]
)
def test_a_missing_name_is_refused_and_the_cell_left_as_it_was(cell, weights, name):
    keras_dnc.load_deepmind_weights(cell, weights)
    before = [to_numpy(v.value) for v in cell.trainable_variables]
    others = {n: 2.0 * value for n, value in weights.items() if n != name}
    with pytest.raises(ValueError, match=f"exactly one array named '{name}'"):
        keras_dnc.load_deepmind_weights(cell, others)
    assert_same([to_numpy(v.value) for v in cell.trainable_variables], before)


def test_two_models_in_one_place_are_refused(cell, weights):
    both = {f"{scope}/{n}": v for scope in "ab" for n, v in weights.items()}
    with pytest.raises(ValueError, match=r"exactly one array.*Received: \['a/lstm/w'"):
        keras_dnc.load_deepmind_weights(cell, both)


@pytest.mark.parametrize(
    "name", ["lstm/w", "lstm/b", "memory_access/read_mode/w", "output_linear/w"]
)
def test_a_wrong_shape_is_refused(cell, weights, name):
    weights[name] = np.zeros((3, 3), "float32")
    with pytest.raises(ValueError, match=re.escape(f"weights['{name}']")):
        keras_dnc.load_deepmind_weights(cell, weights)


def test_weights_for_another_input_size_are_refused(cell, weights):
    cell.build((None, 6))
    with pytest.raises(ValueError, match="cell.controller.kernel"):
        keras_dnc.load_deepmind_weights(cell, weights)


@pytest.mark.parametrize(
    "controller",
    [
        keras.layers.GRUCell(8),
        keras.layers.LSTMCell(8, activation="relu"),
        keras.layers.LSTMCell(8, use_bias=False),
    ],
)
def test_a_controller_that_computes_otherwise_is_refused(weights, controller):
    cell = keras_dnc.DNCCell(3, **{**CELL, "controller": controller})
    with pytest.raises(ValueError, match="`cell` must have an `LSTMCell` with bias"):
        keras_dnc.load_deepmind_weights(cell, weights)


@pytest.mark.parametrize("what", [None, keras.layers.LSTMCell(8)])
def test_what_is_no_dnc_cell_is_refused(weights, what):
    with pytest.raises(ValueError, match="`cell` must be a `DNCCell`"):
        keras_dnc.load_deepmind_weights(what, weights)


@pytest.mark.parametrize(
    "option",
    ["masked_content", "deallocate", "link_sharpness", "normalize"],
)
def test_a_cell_of_other_equations_is_refused(option):
    cell = keras_dnc.DNCCell(3, controller=8, **{option: True})
    with pytest.raises(ValueError, match=f"equations of deepmind/dnc.*{option}"):
        keras_dnc.load_deepmind_weights(cell, {})
