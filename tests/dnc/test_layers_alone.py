"""The parts of the DNC are Keras layers: in functional models, saved and loaded."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients


def cosine_model():
    inputs = keras.Input((7, 4)), keras.Input((3, 4)), keras.Input((3,))
    return inputs, keras_dnc.CosineWeights("oneplus")(*inputs), (3, 7)


def freeness_model():
    inputs = (
        keras.Input((2, 7)),
        keras.Input((3,)),
        keras.Input((3, 7)),
        keras.Input((7,)),
    )
    return inputs, keras_dnc.Freeness(usage_gradient=True)(*inputs), (7,)


def linkage_model():
    inputs = keras.Input((2, 7)), keras.Input((2, 7, 7)), keras.Input((2, 7))
    state = keras_dnc.TemporalLinkageState(*inputs[1:])
    return inputs, keras_dnc.TemporalLinkage()(inputs[0], state).link, (2, 7, 7)


def access_model():
    access = keras_dnc.MemoryAccess(7, 4, num_reads=3, num_writes=2)
    inputs = [keras.Input((6,)), *(keras.Input(shape) for shape in access.state_shapes)]
    state = keras_dnc.MemoryAccessState(*inputs[1:])
    return inputs, access(inputs[0], state)[0], (3, 4)


def interface_model():
    inputs = [keras.Input((6,))]
    interface = keras_dnc.Interface(
        {"gate": ((3,), "sigmoid"), "key": ((2, 4), "tanh")}
    )
    return inputs, interface(inputs[0])["key"], (2, 4)


@pytest.mark.parametrize(
    "build",
    [cosine_model, freeness_model, linkage_model, access_model, interface_model],
)
def test_a_layer_alone_can_be_saved_and_loaded(build, rng, tmp_path):
    inputs, outputs, shape = build()
    assert tuple(outputs.shape) == (None, *shape)
    model = keras.Model(inputs, outputs)
    values = [rng.uniform(0, 0.1, (5, *i.shape[1:])).astype("float32") for i in inputs]
    expected = to_numpy(model(values))
    assert expected.shape == (5, *shape)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(to_numpy(loaded(values)), expected)
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_a_zero_memory_has_finite_gradients_under_half_precision(rng, dtype):
    access = keras_dnc.MemoryAccess(7, 4, num_reads=3, dtype=dtype)
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 6)).astype("float32"))
    state = access.get_initial_state(batch_size=2)
    access.build((None, 6))

    def loss():
        read_words, after = access(inputs, state)
        read_words, after = access(inputs, after)
        return ops.sum(ops.square(read_words)) + ops.sum(ops.square(after.usage))

    _, gradients = value_and_gradients(loss, access.trainable_variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    assert any(np.any(gradient != 0) for gradient in gradients)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_every_part_computes_in_float32_in_place_of_half_precision(dtype):
    for part in (
        keras_dnc.CosineWeights(dtype=dtype),
        keras_dnc.Freeness(dtype=dtype),
        keras_dnc.TemporalLinkage(dtype=dtype),
    ):
        assert part.compute_dtype == "float32"
