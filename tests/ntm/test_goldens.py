"""The Neural Turing Machine against loudinthecloud/pytorch-ntm's own numbers."""

import pathlib

import pytest
from keras import ops

import keras_dnc
from tests import goldens
from tests.numbers import assert_close
from tests.numbers import to_numpy

PATH = pathlib.Path(__file__).parent / "goldens" / "pytorch_ntm.npz"


@pytest.fixture
def golden():
    return goldens.section(goldens.load(PATH), "1write_1read/")


@pytest.fixture
def cell(golden):
    cell = keras_dnc.NTMCell(
        output_size=6,
        controller=9,
        memory_size=11,
        word_size=5,
        initial_memory="learned",
        clip_value=None,
    )
    cell.build((None, 4))
    goldens.assign(named_weights(cell), goldens.section(golden, "weights/"))
    return cell


def named_weights(cell):
    return {
        **goldens.named_weights(cell),
        "initial_memory": (cell.access.fresh_memory, goldens.WHOLE),
        "initial_read_words": (cell.fresh_read_words, goldens.WHOLE),
    }


@goldens.each_layer
def test_outputs_and_final_state_equal_theirs(golden, cell, make_layer):
    """Their outputs are squashed by a sigmoid, ours are not."""
    outputs, state = goldens.run(make_layer, cell, golden)
    squashed = to_numpy(ops.sigmoid(outputs))
    assert_close(squashed, golden["outputs"], 1e-6, guard=goldens.GUARD)
    goldens.assert_all_close(state, goldens.section(golden, "final/"), 1e-6)


@goldens.each_layer
def test_gradients_equal_theirs(golden, cell, make_layer):
    expected = goldens.section(golden, "gradients/")
    found = goldens.gradients(
        make_layer, cell, golden, named_weights(cell), activation=ops.sigmoid
    )
    found = {name: found[name] for name in expected}
    goldens.assert_all_close(found, expected, 1e-6)
