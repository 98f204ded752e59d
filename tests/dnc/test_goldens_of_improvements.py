"""Masks, de-allocation and sharpness against RobertCsordas/dnc's own numbers."""

import pathlib

import keras
import numpy as np
import pytest

import keras_dnc
from tests import goldens
from tests.numbers import assert_close

PATH = pathlib.Path(__file__).parent / "goldens" / "csordas_dnc_options.npz"
SLOTS = 11

# A name says whether there are masks, deallocation and sharp links, and `mask_floor`.
TIED = "001_floor0.0"  # two slots are equally used: the file has no final state
PLAIN = ["000_floor0.0", "010_floor0.0", "100_floor0.0"]
# Here the gradient of a read key sums terms up to 75 times as large as its largest
# number: float32 leaves up to 1e-4 of it in error.
CANCELLING = ["110_floor0.0", "111_floor0.0"]


@pytest.fixture(params=[TIED, *PLAIN, *CANCELLING])
def combination(request):
    return request.param


@pytest.fixture
def precision(request):
    """Use float32, or the float type that a test is parametrised with."""
    name = getattr(request, "param", "float32")
    set_precision(name)
    yield name
    set_precision("float32")


def set_precision(name):
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", name == "float64")


@pytest.fixture
def golden(combination, precision):
    golden = goldens.section(goldens.load(PATH), f"{combination}/")
    return {name: array.astype(precision) for name, array in golden.items()}


@pytest.fixture
def cell(combination, golden):
    flags, floor = combination.split("_floor")
    masked_content, deallocate, link_sharpness = (flag == "1" for flag in flags)
    cell = keras_dnc.DNCCell(
        output_size=6,
        controller=9,
        memory_size=SLOTS,
        word_size=5,
        num_reads=2,
        clip_value=None,
        strength="oneplus",
        masked_content=masked_content,
        mask_floor=float(floor),
        deallocate=deallocate,
        link_sharpness=link_sharpness,
    )
    cell.build((None, 4))
    weights = goldens.named_weights(cell)
    goldens.assign(weights, goldens.section(golden, "weights/"))
    return cell


@goldens.each_layer
def test_outputs_equal_theirs(golden, cell, make_layer):
    outputs, _ = goldens.run(make_layer, cell, golden)
    assert_close(outputs, golden["outputs"], guard=goldens.GUARD)


@goldens.each_layer
@pytest.mark.parametrize("combination", [*PLAIN, *CANCELLING], indirect=True)
def test_the_final_state_equals_theirs_up_to_the_order_of_slots(
    golden, cell, make_layer
):
    """All slots of a fresh memory are equally free: which is written first is open."""
    _, state = goldens.run(make_layer, cell, golden)
    expected = goldens.section(golden, "final/")
    goldens.assert_all_close(by_usage(state), by_usage(expected))


def by_usage(state):
    """Reorder the slots of each batch element by usage, in every array alike."""
    order = np.argsort(state["usage"], axis=-1)
    return {name: _reorder(array, order) for name, array in state.items()}


def _reorder(array, order):
    slot_axes = [axis for axis, size in enumerate(array.shape) if size == SLOTS]
    for axis in slot_axes:
        shape = [len(order), *[1] * (array.ndim - 1)]
        shape[axis] = SLOTS
        array = np.take_along_axis(array, order.reshape(shape), axis)
    return array


@goldens.each_layer
@pytest.mark.parametrize(
    "combination,precision",
    [(name, "float32") for name in (TIED, *PLAIN)]
    + [(name, "float64") for name in CANCELLING],
    indirect=True,
)
def test_gradients_equal_theirs(golden, cell, make_layer):
    weights = goldens.named_weights(cell)
    expected = goldens.section(golden, "gradients/")
    found = goldens.gradients(make_layer, cell, golden, weights)
    goldens.assert_all_close({name: found[name] for name in expected}, expected)
