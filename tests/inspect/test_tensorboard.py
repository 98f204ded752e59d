"""MemoryTrace: what TensorBoard shows of a memory."""

import collections

import keras
import pytest

from keras_dnc.inspect.tensorboard import MemoryTrace
from tests.conformance.harness import compile_model
from tests.conformance.harness import random_inputs
from tests.conformance.harness import random_targets
from tests.dnc.cells import random_cell


def fit(rng, look, epochs):
    inputs = keras.Input((None, 5))
    outputs = keras.layers.RNN(random_cell(rng), return_sequences=True)(inputs)
    model = compile_model(keras.Model(inputs, outputs))
    data = random_inputs(rng), random_targets(rng)[:, :, :3]
    model.fit(*data, epochs=epochs, callbacks=[look], verbose=0)


def events(folder):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = collections.defaultdict(list)
    for path in sorted(folder.glob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                found[value.tag].append((event.step, plugin))
    return found


@pytest.mark.slow
@pytest.mark.only("tensorflow", "jax")
def test_every_few_epochs_there_are_pictures_and_histograms(rng, tmp_path):
    pytest.importorskip("tensorflow")
    look = MemoryTrace(random_inputs(rng), tmp_path, every=2, labels=iter("abcdef"))
    fit(rng, look, epochs=5)
    found = events(tmp_path)
    for name in ("plot_write_weights", "plot_links", "plot_memory"):
        assert [step for step, _ in found[f"memory/{name}"]] == [2, 4]
    assert {kind for _, kind in found["memory/plot_gates"]} == {"images"}
    for name in ("usage", "free_gate", "read_weights", "write_gate"):
        assert [step for step, _ in found[f"memory/{name}"]] == [2, 4]


def test_the_number_of_epochs_is_checked(rng, tmp_path):
    with pytest.raises(ValueError, match="`every` must be a positive integer.*every=0"):
        MemoryTrace(random_inputs(rng), tmp_path, every=0)
