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


def saved(weights, folder):
    """Save arrays, scoped and with an optimizer's, as deepmind/dnc does."""
    import tensorflow as tf

    names = {"lstm/w": "lstm/w_gates", "lstm/b": "lstm/b_gates"}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in weights.items():
            variable = f"dnc/{names.get(name, name)}"
            tf.compat.v1.get_variable(variable, initializer=value)
            tf.compat.v1.get_variable(f"{variable}/RMSProp", initializer=value)
        tf.compat.v1.get_variable("global_step", initializer=7)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(folder / "model.ckpt"))


@pytest.fixture
def trained(weights):
    """A cell with weights of its own, and a copy of them."""
    cell = keras_dnc.DNCCell(3, **CELL)
    keras_dnc.load_deepmind_weights(cell, {n: 2.0 * v for n, v in weights.items()})
    return cell, [to_numpy(v.value) for v in cell.trainable_variables]


def refuses(trained, weights, kind, message):
    """Assert an error of exactly this class, and that the cell keeps its weights."""
    cell, before = trained
    with pytest.raises(kind, match=message) as raised:
        keras_dnc.load_deepmind_weights(cell, weights)
    assert type(raised.value) is kind
    assert_same([to_numpy(v.value) for v in cell.trainable_variables], before)


@pytest.mark.only("tensorflow", "jax")  # the reader is TensorFlow's, on any backend
def test_a_tensorflow_checkpoint_gives_the_same_weights(weights, tmp_path):
    path = saved(weights, tmp_path)
    assert_same(loaded(path), loaded(weights))
    assert_same(loaded(tmp_path), loaded(weights))


INDEX, DATA = "model.ckpt.index", "model.ckpt.data-00000-of-00001"


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize(
    "file,damage",
    [
        (INDEX, lambda content: b"garbage" * 40),
        (INDEX, lambda content: b""),
        (INDEX, lambda content: content[:-20]),
        (INDEX, lambda content: content[: len(content) // 2]),
        (DATA, lambda content: b""),
        (DATA, lambda content: content[:8]),
        (DATA, lambda content: bytes(byte ^ 1 for byte in content)),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_the_cell_left_as_it_was(
    trained, weights, tmp_path, file, damage
):
    path = saved(weights, tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(damage(content))
    refuses(trained, path, ValueError, f"{re.escape(path)}.*is damaged")


@pytest.mark.only("tensorflow", "jax")
def test_no_bit_of_a_checkpoint_can_change_a_weight_without_an_error(
    trained, weights, tmp_path
):
    path, expected = saved(weights, tmp_path), loaded(weights)
    refused = 0
    for file in (INDEX, DATA):
        content = (tmp_path / file).read_bytes()
        positions = range(0, len(content), len(content) // 60)
        for bit, position in enumerate(positions):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit % 8
            (tmp_path / file).write_bytes(damaged)
            try:
                assert_same(loaded(path), expected)  # the optimizer's, for example
            except (ValueError, FileNotFoundError):
                refused += 1
        (tmp_path / file).write_bytes(content)
    assert refused > 60


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize(
    "file,message",
    [(INDEX, "where none is found"), (DATA, "whose data files are missing")],
)
def test_a_missing_file_of_a_checkpoint_is_named_as_missing(
    trained, weights, tmp_path, file, message
):
    path = saved(weights, tmp_path)
    (tmp_path / file).unlink()
    refuses(trained, path, FileNotFoundError, f"{re.escape(path)}.*{message}")


@pytest.mark.only("tensorflow", "jax")
def test_one_missing_data_file_of_two_is_named_as_missing(trained, weights, tmp_path):
    path = saved(weights, tmp_path)
    (tmp_path / DATA).rename(tmp_path / "model.ckpt.data-00000-of-00002")
    refuses(trained, path, FileNotFoundError, "whose data files are missing")


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\xff\x00"])
def test_a_folder_that_names_no_checkpoint_is_refused(
    trained, weights, tmp_path, content
):
    saved(weights, tmp_path)
    (tmp_path / "checkpoint").unlink()
    if content is not None:
        (tmp_path / "checkpoint").write_bytes(content)
    refuses(trained, tmp_path, FileNotFoundError, "a folder whose file `checkpoint`")


@pytest.mark.only("tensorflow", "jax")
def test_the_name_of_an_index_file_is_refused_with_the_rule(trained, weights, tmp_path):
    path = saved(weights, tmp_path) + ".index"
    refuses(trained, path, ValueError, "names before `.index`.*holds no variables")


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize("name", ["lstm/w", "output_linear/b"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, "shape", "missing"])
def test_a_wrong_array_of_a_checkpoint_is_named_with_the_path(
    trained, weights, tmp_path, name, wrong
):
    array = weights.pop(name)
    if wrong == "shape":
        weights[name] = array[..., :-1]
    elif wrong != "missing":
        weights[name] = array
        array[..., -1] = wrong
    path = saved(weights, tmp_path)
    message = f"'{name}'.* in the checkpoint '{re.escape(path)}'"
    refuses(trained, path, ValueError, message)


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


@pytest.mark.parametrize(
    "name", ["lstm/w", "lstm/b", "memory_access/read_keys/b", "output_linear/w"]
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_an_array_that_is_not_finite_is_refused_and_the_cell_left_as_it_was(
    trained, weights, name, wrong
):
    weights[name] = weights[name].astype("float64")
    weights[name][..., -1] = wrong
    message = re.escape(f"`weights['{name}']` must be finite in float32")
    refuses(trained, weights, ValueError, message)


@pytest.mark.parametrize(
    "value", ["words", [[1.0], [1.0, 2.0]], None, np.zeros((16, 3), "complex64")]
)
def test_a_value_that_is_no_array_of_numbers_is_refused(trained, weights, value):
    weights["output_linear/w"] = value
    message = r"`weights\['output_linear/w'\]` must be an array"
    refuses(trained, weights, ValueError, message)


def test_names_that_are_no_strings_are_ignored(weights):
    expected = loaded(weights)
    assert_same(loaded({**weights, 7: np.zeros(3), None: 1.0}), expected)


@pytest.mark.parametrize("other", [None, 7, [], b"model.ckpt"])
def test_what_is_neither_a_dict_nor_a_path_is_refused(trained, other):
    refuses(trained, other, ValueError, "`weights` must be a dict or the path")


def test_a_refused_cell_that_was_not_built_stays_so(cell, weights):
    weights["output_linear/b"][0] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        keras_dnc.load_deepmind_weights(cell, weights)
    assert not cell.built


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
    "option, value",
    [
        *((n, True) for n in ("masked_content", "deallocate", "link_sharpness")),
        ("normalize", True),
        ("temporal_links", False),
        ("strength", "oneplus"),
        ("link_top_k", 4),
    ],
)
def test_a_cell_of_other_equations_is_refused(option, value):
    cell = keras_dnc.DNCCell(3, controller=8, **{option: value})
    with pytest.raises(ValueError, match=f"equations of deepmind/dnc.*{option}"):
        keras_dnc.load_deepmind_weights(cell, {})
