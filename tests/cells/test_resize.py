"""Resizing a memory changes how much it holds, and no weight."""

import keras
import numpy as np
import pytest

import keras_dnc
from tests.conformance.cases import every_cell
from tests.conformance.harness import compile_model
from tests.conformance.harness import functional_model
from tests.conformance.harness import random_inputs
from tests.conformance.harness import random_targets
from tests.numbers import to_numpy


@pytest.mark.contract
@every_cell
def test_every_cell_keeps_its_weights_in_a_memory_of_another_size(make, rng):
    model = functional_model(make())
    for size in (13, 5):
        resized = keras_dnc.resize_memory(model, size)
        assert resized.layers[-1].cell.memory_size == size
        assert model.layers[-1].cell.memory_size == 7
        pairs = zip(model.trainable_weights, resized.trainable_weights, strict=True)
        for old, new in pairs:
            np.testing.assert_array_equal(to_numpy(old), to_numpy(new))
        assert np.all(np.isfinite(to_numpy(resized(random_inputs(rng)))))


def _dnc(**options):
    return keras_dnc.DNCCell(10, controller=8, memory_size=7, word_size=4, **options)


def test_every_memory_in_nested_models_is_resized(rng):
    inputs = keras.Input((None, 5))
    inner = functional_model(_dnc())
    both = keras.layers.Bidirectional(
        keras_dnc.MemoryRNN([_dnc(), _dnc()], return_sequences=True)
    )
    outputs = keras_dnc.BiDNC(10, 8, memory_size=7, word_size=4)(both(inner(inputs)))
    resized = keras_dnc.resize_memory(keras.Model(inputs, outputs), 12)
    cells = [layer.cell for layer in _layers(resized) if hasattr(layer, "cell")]
    cells = [one for cell in cells for one in getattr(cell, "cells", [cell])]
    sizes = [cell.memory_size for cell in cells if hasattr(cell, "memory_size")]
    assert sizes == [12] * 6
    assert to_numpy(resized(random_inputs(rng))).shape == (3, 10)


def _layers(model):
    return list(model._flatten_layers(include_self=False))


@pytest.mark.slow
def test_a_resized_model_is_compiled_as_the_old_one(rng):
    model = compile_model(functional_model(_dnc()))
    inputs, targets = random_inputs(rng), random_targets(rng)
    resized = keras_dnc.resize_memory(model, 9)
    assert np.isfinite(resized.train_on_batch(inputs, targets))
    assert np.isfinite(model.train_on_batch(inputs, targets))
    assert np.isfinite(resized.evaluate(inputs, targets, verbose=0))


def test_a_larger_memory_holds_what_a_smaller_one_has_lost():
    """A cell that writes each input to a free slot and reads what its key is."""
    cell = keras_dnc.DNCCell(
        4, keras_dnc.FeedForwardController(8, "linear"), memory_size=3, word_size=4
    )
    model = functional_model_of_words(cell)
    words = np.eye(4, dtype="float32")[[0, 1, 2, 3, 3]]
    written = np.array([1, 1, 1, 1, 0], "float32")
    inputs = np.concatenate([words, written[:, None]], axis=1)[None]
    small, large = (
        to_numpy(m(inputs))[0, -1] for m in (model, keras_dnc.resize_memory(model, 6))
    )
    assert large[3] > 0.9
    assert small[3] < 0.5  # there was no slot left for the fourth word


def functional_model_of_words(cell):
    """Inputs are a word and whether to write it; the output is the word read."""
    model = functional_model(cell)
    for variable in cell.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    kernel = np.zeros(cell.controller.dense.kernel.shape, "float32")
    kernel[:5, :5] = np.eye(5)
    cell.controller.dense.kernel.assign(kernel)
    columns = cell.access.interface.columns
    kernel, bias = (to_numpy(w) for w in cell.access.interface.dense.weights)
    kernel, bias = np.zeros_like(kernel), np.zeros_like(bias)
    kernel[:4, columns["write_vectors"]] = np.eye(4)
    kernel[:4, columns["read_keys"]] = np.eye(4)
    kernel[4, columns["write_gate"]] = 40.0
    bias[columns["write_gate"]] = -20.0
    bias[columns["allocation_gate"]] = 20.0
    bias[columns["erase_vectors"]] = 20.0
    bias[columns["free_gate"]] = -20.0
    bias[columns["read_strengths"]] = 40.0
    bias[columns["read_mode"]] = [-20.0, -20.0, 20.0]
    cell.access.interface.dense.set_weights([kernel, bias])
    output = np.zeros(cell.output_linear.kernel.shape, "float32")
    output[8:] = np.eye(4)
    cell.output_linear.kernel.assign(output)
    return model


@pytest.mark.parametrize("size", [0, -2, 1.5, None])
def test_a_size_must_be_a_positive_integer(size):
    with pytest.raises(ValueError, match="`memory_size` must be a positive integer"):
        keras_dnc.resize_memory(functional_model(_dnc()), size)


def test_a_model_without_a_memory_is_refused():
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, keras.layers.LSTM(3)(inputs))
    with pytest.raises(ValueError, match="`model` must hold a layer or cell"):
        keras_dnc.resize_memory(model, 8)


def test_what_is_no_built_model_is_refused():
    for thing in (_dnc(), keras.Sequential([keras_dnc.MemoryRNN(_dnc())])):
        with pytest.raises(ValueError, match="`model` must be a built Keras model"):
            keras_dnc.resize_memory(thing, 8)


@keras.saving.register_keras_serializable(package="tests")
class OwnCell(keras_dnc.DNCCell):
    """A cell that a user has derived."""


@keras.saving.register_keras_serializable(package="tests")
class OwnModel(keras.Model):
    """A subclassed model with a config."""

    def __init__(self, memory_size=128, **kwargs):
        super().__init__(**kwargs)
        self.bidirectional = keras_dnc.BiDNC(3, 8, memory_size=memory_size, word_size=4)

    def call(self, inputs):
        return self.bidirectional(inputs)


def test_derived_cells_are_resized():
    cell = OwnCell(10, controller=8, memory_size=7, word_size=4)
    resized = keras_dnc.resize_memory(functional_model(cell), 9)
    assert type(resized.layers[-1].cell) is OwnCell
    assert resized.layers[-1].cell.memory_size == 9


def test_a_memory_of_default_size_is_resized():
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, keras_dnc.BiDNC(3, 8, word_size=4)(inputs))
    assert keras_dnc.resize_memory(model, 9).layers[-1].memory_size == 9


def test_a_memory_that_no_config_names_is_refused():
    model = OwnModel()
    model(np.zeros((1, 2, 5), "float32"))
    with pytest.raises(ValueError, match="`model` must .*Received"):
        keras_dnc.resize_memory(model, 9)


def test_a_cell_in_two_layers_is_refused():
    cell, inputs = _dnc(), keras.Input((None, 5))
    layers = [keras.layers.RNN(cell) for _ in range(2)]
    model = keras.Model(inputs, [layer(inputs) for layer in layers])
    with pytest.raises(ValueError, match="share no cell"):
        keras_dnc.resize_memory(model, 9)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_memory_with_weights_of_its_own_is_refused(frozen):
    sentences = keras.Input((None, None), dtype="int32")
    question = keras.Input((None,), dtype="int32")
    network = keras_dnc.MemN2N(20, 8, memory_size=5)
    model = keras.Model([sentences, question], network(sentences, question))
    model.trainable = not frozen
    with pytest.raises(ValueError, match="no weights whose shape depends on"):
        keras_dnc.resize_memory(model, 8)
