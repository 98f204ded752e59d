"""Faults of Keras that our users meet. Each test fails loudly once it is mended.

They hold for Keras's own LSTM as well, or come from Keras's loops alone.
"""

import keras
import numpy as np
import pytest
from keras import ops

from tests.conformance.harness import BATCH
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy


@pytest.mark.only("jax")
@pytest.mark.xfail(reason="masked, the loop takes a lone cell's state for a stack's")
def test_a_stack_of_one_cell_takes_a_mask(rng):
    inputs, cell = random_inputs(rng), random_cell(rng)
    stack = keras.layers.StackedRNNCells([cell])
    outputs = keras.layers.RNN(stack, return_sequences=True)(inputs, mask=length_mask())
    plain = keras.layers.RNN(cell, return_sequences=True)(inputs, mask=length_mask())
    assert_close(to_numpy(outputs), to_numpy(plain))


@pytest.mark.only("tensorflow")
@pytest.mark.xfail(reason="the loop starts from a zero output, not from the state")
def test_rows_masked_from_their_first_step_repeat_the_carried_output(rng):
    layer = keras.layers.RNN(random_cell(rng), return_sequences=True, return_state=True)
    inputs, mask = random_inputs(rng), length_mask()
    whole, *_ = layer(inputs, mask=mask)
    _, *between = layer(inputs[:, :2], mask=mask[:, :2])
    second, *_ = layer(inputs[:, 2:], mask=mask[:, 2:], initial_state=between)
    assert_close(to_numpy(second), to_numpy(whole)[:, 2:])


@pytest.mark.only("jax")
@pytest.mark.xfail(reason="predict drops the states it has computed")
def test_predict_carries_the_state_of_a_stateful_layer(rng):
    inputs = keras.Input(batch_shape=(BATCH, None, 5))
    layer = keras.layers.LSTM(4, stateful=True)
    keras.Model(inputs, layer(inputs)).predict(random_inputs(rng), verbose=0)
    assert np.max(np.abs(to_numpy(layer.states[0].value))) > 0.0


@pytest.mark.only("jax")
@pytest.mark.xfail(reason="fit drops the states it has computed")
def test_fit_carries_the_state_of_a_stateful_layer(rng):
    inputs = keras.Input(batch_shape=(BATCH, None, 5))
    layer = keras.layers.LSTM(4, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    model.fit(random_inputs(rng), np.zeros((BATCH, 4)), batch_size=BATCH, verbose=0)
    assert np.max(np.abs(to_numpy(layer.states[0].value))) > 0.0


@pytest.mark.only("jax")
@pytest.mark.xfail(reason="TensorFlow cannot deserialize the top_k of a JAX export")
def test_a_model_with_top_k_can_be_exported_from_jax(tmp_path):
    import tensorflow as tf

    class TopK(keras.layers.Layer):
        def call(self, inputs):
            return ops.top_k(inputs, 2)[0]

    inputs = keras.Input((None, 5))
    keras.Model(inputs, TopK()(inputs)).export(tmp_path / "export", verbose=False)
    tf.saved_model.load(tmp_path / "export").serve(np.ones((2, 3, 5), "float32"))


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.xfail(reason="compute_mask counts the states of one direction")
def test_a_stateful_bidirectional_layer_gives_its_states_under_a_mask(rng):
    inputs = keras.Input(batch_shape=(BATCH, 6, 5))
    masked = keras.layers.Masking()(inputs)
    layer = keras.layers.LSTM(4, stateful=True, return_state=True)
    outputs = keras.layers.Bidirectional(layer)(masked)
    keras.Model(inputs, outputs).predict(random_inputs(rng), verbose=0)


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.xfail(reason="the stack casts its cells' states to its own precision")
def test_a_plain_layer_stacks_cells_under_mixed_precision(rng):
    cells = [random_cell(rng), random_cell(rng, input_size=3)]
    stack = keras.layers.StackedRNNCells(cells, dtype="mixed_bfloat16")
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, keras.layers.RNN(stack)(inputs))
    model.predict(random_inputs(rng), verbose=0)


@pytest.mark.xfail(raises=AssertionError, reason="Keras slices step 0 before any cell")
def test_a_plain_layer_refuses_sequences_of_length_0_with_a_value_error(rng):
    layer = keras.layers.RNN(random_cell(rng))
    try:
        layer(np.zeros((2, 0, 5), "float32"))
    except Exception as error:
        assert isinstance(error, ValueError)


@pytest.mark.only("torch")
@pytest.mark.xfail(reason="its config names the class of the backend")
def test_an_optimizer_saved_on_pytorch_trains_on_other_backends():
    config = keras.saving.serialize_keras_object(keras.optimizers.Adam())
    assert "torch" not in config["module"]


@pytest.mark.only("tensorflow", "jax")
def test_an_optimizer_saved_on_pytorch_is_loaded_where_it_is_named():
    config = keras.saving.serialize_keras_object(keras.optimizers.Adam(0.25))
    config["module"] = "keras.src.backend.torch.optimizers.torch_adam"
    config["registered_name"] = "Adam"
    named = {"Adam": keras.optimizers.Adam}
    adam = keras.saving.deserialize_keras_object(config, custom_objects=named)
    assert type(adam) is keras.optimizers.Adam
    assert float(adam.learning_rate) == 0.25


@pytest.mark.only("torch")
@pytest.mark.xfail(reason="result_type of two float64 is float32 on PyTorch")
def test_a_product_of_float64_is_float64(rng):
    a, b = (keras.ops.convert_to_tensor(rng.normal(size=(3, 3))) for _ in range(2))
    product = keras.ops.matmul(a, b)
    assert keras.backend.standardize_dtype(product.dtype) == "float64"
