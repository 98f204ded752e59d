"""A model with any cell can be saved, loaded and cloned."""

import keras
import numpy as np
import pytest

from tests.conformance.cases import every_cell
from tests.conformance.cases import every_state
from tests.conformance.cases import ntm_and_dnc
from tests.conformance.harness import check_learns
from tests.conformance.harness import compile_model
from tests.conformance.harness import functional_model
from tests.conformance.harness import random_inputs
from tests.conformance.harness import random_targets
from tests.numbers import assert_close
from tests.numbers import to_numpy


@every_state
def test_a_model_comes_back_from_its_file(make, rng, tmp_path):
    model, inputs = functional_model(make()), random_inputs(rng)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_close(to_numpy(loaded(inputs)), to_numpy(model(inputs)))


@ntm_and_dnc
def test_a_model_that_was_trained_comes_back_from_its_file(make, rng, tmp_path):
    """One fit, the dearest thing to compile, for all that Keras does with a model."""
    model = compile_model(functional_model(make()))
    inputs, targets = random_inputs(rng), random_targets(rng)
    check_learns(model, inputs, targets)
    predicted = model.predict(inputs, verbose=0)
    loss = model.evaluate(inputs, targets, verbose=0)
    assert loss == pytest.approx(np.mean(np.square(predicted - targets)), rel=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_close(loaded.predict(inputs, verbose=0), predicted)
    for ours, theirs in zip(
        loaded.optimizer.variables, model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(to_numpy(ours.value), to_numpy(theirs.value))


@every_cell
def test_controls_start_where_the_biases_say(make):
    first = next(iter(_built(make()).access.interface.controls))
    cell = _built(make(control_biases={first: -0.25}))
    config = cell.get_config()
    options = config["access"]["config"] if "access" in config else config
    assert options["control_biases"] == {first: -0.25}
    assert type(options["control_biases"]) is dict  # none that Keras tracks
    for same in (cell, _built(type(cell).from_config(config))):
        columns = same.access.interface.columns[first]
        offsets = [w for w in same.access.weights if w.name in ("bias", "beta")]
        assert np.all(to_numpy(offsets[-1].value)[columns] == -0.25)
    del options["control_biases"]  # as in a file that is older than the argument
    assert type(cell).from_config(config).control_biases == {}


def _built(cell):
    cell.build((None, 6))
    return cell


@every_state
def test_a_model_is_built_to_its_last_layer(make):
    """On JAX, Keras runs a model with any other layer once more before each batch."""
    model = functional_model(make())
    assert [layer.name for layer in model._flatten_layers() if not layer.built] == []


@every_cell
def test_a_mixed_precision_model_keeps_its_policy_in_a_file(make, tmp_path):
    model = functional_model(make(dtype="mixed_bfloat16"))
    model.save(tmp_path / "model.keras")
    cell = keras.models.load_model(tmp_path / "model.keras").layers[-1].cell
    assert cell.controller_dtype_policy.name == "mixed_bfloat16"
    assert cell.compute_dtype == "float32"
    assert cell.controller.dtype_policy == model.layers[-1].cell.controller.dtype_policy


@every_cell
def test_a_clone_has_the_same_shape_and_weights_of_its_own(make, rng):
    model = functional_model(make())
    clone = keras.models.clone_model(model)
    inputs = random_inputs(rng)
    clone.set_weights(model.get_weights())
    assert_close(to_numpy(clone(inputs)), to_numpy(model(inputs)))
    assert not {id(v) for v in clone.variables} & {id(v) for v in model.variables}


@every_cell
def test_weights_alone_can_be_saved_and_loaded(make, rng, tmp_path):
    model, other = functional_model(make()), functional_model(make())
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    inputs = random_inputs(rng)
    assert_close(to_numpy(other(inputs)), to_numpy(model(inputs)))
