"""The ways in which users train, save and convert a model work around our cells."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance import roads
from tests.conformance.cases import CELLS
from tests.conformance.cases import case
from tests.conformance.cases import every_cell
from tests.conformance.harness import check_same
from tests.conformance.harness import dtype_policy
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import value_and_gradients

LSTM = pytest.param(lambda: keras.layers.LSTMCell(8), id="lstm")
BACKEND = keras.backend.backend()


@pytest.mark.slow
@pytest.mark.only("tensorflow")  # a fit takes JAX seconds to compile
@pytest.mark.parametrize("make", [case("dnc"), case("sam"), LSTM])
@pytest.mark.parametrize("road", [*roads.FITS, "tf.saved_model.save"])
def test_training_and_a_saved_model_of_tensorflow(make, road, tmp_path):
    roads.ROADS[road](make, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("make", [case("dnc"), case("sam"), LSTM])
@pytest.mark.parametrize("road", roads.CONVERSIONS)
def test_files_and_conversions(make, road, tmp_path):
    if road == "model.export" and BACKEND == "torch":
        pytest.skip("on PyTorch, Keras exports no SavedModel")
    access = getattr(make(), "access", None)
    if road == "model.export" and BACKEND == "jax" and hasattr(access, "top_k"):
        pytest.skip("TensorFlow cannot read the top_k of JAX; see test_upstream_faults")
    roads.ROADS[road](make, tmp_path)


@pytest.mark.slow
@pytest.mark.only("tensorflow", "torch")
@pytest.mark.parametrize("make", [case("dnc"), case("sam"), LSTM])
@pytest.mark.parametrize("policy", roads.POLICIES)
def test_policies(make, policy, tmp_path):
    """The layer, and Keras's own, which says what the backend supports."""
    with dtype_policy(policy):
        try:
            keras.layers.LSTM(2)(ops.ones((1, 1, 1)))
        except Exception:
            pytest.skip(f"Keras's LSTM has no policy {policy} on this backend")
        roads.fit_save_load(make, tmp_path)


@pytest.mark.parametrize("make", [case("dnc"), LSTM])
def test_a_layer_computes_in_float64_under_a_global_policy(make, rng):
    with dtype_policy("float64"):
        layer = keras_dnc.MemoryRNN(make())
        plain = keras.layers.RNN(layer.cell)
        inputs = ops.convert_to_tensor(random_inputs(rng), "float64")
        check_same([layer(inputs)], [plain(inputs)])
        assert layer.compute_dtype == layer.cell.compute_dtype == "float64"


@every_cell
def test_masked_steps_of_nan_change_neither_outputs_nor_gradients(make, rng):
    layer, inputs, mask = keras_dnc.MemoryRNN(make()), random_inputs(rng), length_mask()
    dirty = np.where(mask[:, :, None], inputs, np.nan).astype("float32")

    def run(data):
        data, real = ops.convert_to_tensor(data), ops.convert_to_tensor(mask)
        return value_and_gradients(
            lambda: ops.sum(ops.square(layer(data, mask=real, training=True))),
            layer.trainable_variables,
        )

    layer(inputs)
    (clean, expected), (found, gradients) = run(inputs), run(dirty)
    assert found == pytest.approx(clean, rel=1e-6)
    check_same(gradients, expected)


@pytest.mark.slow
@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("make", [case(name) for name in CELLS])
def test_no_intermediate_value_is_infinite_or_nan(make, rng):
    import tensorflow as tf

    layer, inputs = keras_dnc.MemoryRNN(make()), random_inputs(rng)
    layer(inputs)
    with _checked_numerics(tf):
        value_and_gradients(
            lambda: ops.sum(ops.square(layer(inputs, training=True))),
            layer.trainable_variables,
        )


@contextlib.contextmanager
def _checked_numerics(tf):
    tf.debugging.enable_check_numerics()
    try:
        yield
    finally:
        tf.debugging.disable_check_numerics()


@pytest.mark.only("tensorflow")
def test_ragged_sequences_are_refused_with_the_remedy():
    import tensorflow as tf

    ragged = tf.RaggedTensor.from_row_lengths(np.ones((5, 4), "float32"), [2, 3])
    with pytest.raises(ValueError, match=r"ragged.*to_tensor\(\).*Masking"):
        keras_dnc.MemoryRNN(keras_dnc.DNCCell(3, 8, 6, 4))(ragged)
