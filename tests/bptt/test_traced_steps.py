"""On PyTorch, steps that run as graphs return the numbers of steps that do not."""

import copy
import functools
import gc
import pickle
import weakref

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.backend import torch_graph
from keras_dnc.ops.similarity import Guards

pytestmark = pytest.mark.only("torch")
BATCH, TIME, FEATURES = 3, 7, 5
CELLS = {
    "DNC": lambda: keras_dnc.DNCCell(2, 6, 8, 4, 2, bypass_dropout=0.3),
    "DNC, two writes": lambda: keras_dnc.DNCCell(2, 6, 8, 4, 2, num_writes=2),
    "DNC, sparse links": lambda: keras_dnc.DNCCell(2, 6, 8, 4, 2, link_top_k=3),
    "NTM": lambda: keras_dnc.NTMCell(2, 6, 8, 4, initial_memory="learned"),
    "MANN": lambda: keras_dnc.MANNCell(2, 6, 8, 4, num_reads=2),
}


def train(layer, rng, mask):
    """Return outputs and gradients of a layer, four times on the same sequences."""
    import torch

    found = []
    x = torch.tensor(rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32"))
    for _ in range(4):
        x.grad, x.requires_grad = None, True
        layer.zero_grad()
        outputs = layer(x, mask=mask, training=True)
        (outputs**2).sum().backward()
        weights = [weight.value.grad for weight in layer.trainable_weights]
        found.append([t.detach().numpy() for t in (outputs, x.grad, *weights)])
    return found


def traced_functions(cell):
    """Return the names of the functions of a cell that have been traced."""
    entries = torch_graph.entries_of(cell).items()
    return {name for (((name, _), _), _), entry in entries if entry.graph}


@pytest.mark.parametrize("recompute, is_masked", [(None, False), (3, True)])
@pytest.mark.parametrize("name", CELLS)
def test_graphs_return_the_same_outputs_and_gradients(
    name, recompute, is_masked, monkeypatch
):
    mask = np.arange(TIME) < np.array([[TIME], [4], [1]]) if is_masked else None
    monkeypatch.setattr(torch_graph, "_LARGE_SIZE", 1)
    runs = []
    for worth in (10**6, 0):
        monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", worth)
        keras.utils.set_random_seed(3)
        layer = keras_dnc.MemoryRNN(
            CELLS[name](), recompute=recompute, return_sequences=True
        )
        runs.append(train(layer, np.random.default_rng(1), mask))
    steps = {"_step_with_residuals", "_step_gradients"}
    steps |= {"_rewrite"} if recompute else set()
    assert steps <= traced_functions(layer.cell), "a step cannot be traced"
    for plain, traced in zip(*runs, strict=True):
        for one, other in zip(plain, traced, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "recompute, slots, keeps_all", [(None, 8, True), (3, 8, False), (None, 4096, False)]
)
def test_states_are_saved_at_every_step_if_they_are_small(recompute, slots, keeps_all):
    cell = keras_dnc.DNCCell(2, 6, slots, 4)
    layer = keras_dnc.MemoryRNN(cell, recompute=recompute)
    assert layer._keeps_all(np.ones((TIME, BATCH, FEATURES))) == keeps_all


def set_clip_value(cell):
    cell.clip_value = 1e-3


def set_guards(cell):
    cell.access.read_content.cosine_guards = Guards(10.0, 10.0)


def set_item(cell):
    cell.scales[0] = 3.0


def set_array(cell):
    cell.array[:] = 3.0


def set_activation(cell):
    cell.output_linear.activation = functools.partial(keras.ops.elu, alpha=0.1)


class ScaledCell(keras_dnc.DNCCell):
    def step(self, inputs, state):
        return super().step(inputs * self.scales[0] * self.array, state)


CHANGES = [set_clip_value, set_guards, set_item, set_array, set_activation]


@pytest.mark.parametrize("change", CHANGES)
def test_a_setting_of_any_kind_that_changes_reaches_the_next_call(change, monkeypatch):
    cell = ScaledCell(2, 6, 8, 4)
    cell.scales, cell.array = [1.0], np.ones(FEATURES, "float32")
    layer = keras_dnc.MemoryRNN(cell)
    x = np.ones((BATCH, TIME, FEATURES), "float32")
    call = lambda: keras.ops.convert_to_numpy(layer(x))  # noqa: E731
    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 0)
    before = [call() for _ in range(3)][-1]
    change(cell)
    after = call()
    torch_graph.entries_of(cell).clear()
    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 10**6)
    np.testing.assert_allclose(after, call(), rtol=1e-6, atol=1e-7)
    assert np.abs(after - before).max() > 1e-6


def test_a_traced_layer_trains_as_one_that_is_not(monkeypatch):
    import torch

    found = []
    for worth in (10**6, 0):
        monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", worth)
        keras.utils.set_random_seed(3)
        layer = keras_dnc.MemoryRNN(keras_dnc.DNCCell(2, 6, 8, 4))
        layer.build((BATCH, TIME, FEATURES))
        optimizer = torch.optim.SGD([w.value for w in layer.trainable_weights], 0.1)
        x = torch.ones(BATCH, TIME, FEATURES)
        for step in range(6):
            layer.cell.access.trainable = step != 3
            if step == 4:
                layer.set_weights([weight * 1.5 for weight in layer.get_weights()])
            optimizer.zero_grad()
            (layer(x, training=True) ** 2).sum().backward()
            optimizer.step()
        found.append(layer.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_traced_cell_is_freed_even_if_a_setting_refers_to_it(monkeypatch):
    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 0)
    layer = keras_dnc.MemoryRNN(keras_dnc.DNCCell(2, 6, 8, 4))
    layer.cell.hook = layer.cell.step
    for _ in range(3):
        layer(np.ones((BATCH, TIME, FEATURES), "float32"))
    cell = weakref.ref(layer.cell)
    del layer
    gc.collect()
    assert cell() is None


def test_a_traced_model_is_copied_and_saved(monkeypatch, tmp_path):
    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 0)
    layer = keras_dnc.MemoryRNN(keras_dnc.DNCCell(2, 6, 8, 4))
    model = keras.Sequential([keras.Input((TIME, FEATURES)), layer])
    x = np.ones((BATCH, TIME, FEATURES), "float32")
    expected = [model.predict(x, verbose=0) for _ in range(3)][-1]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, rtol=1e-6)


@pytest.mark.parametrize("lstm", [{}, {"dropout": 0.2, "recurrent_dropout": 0.2}])
@pytest.mark.parametrize("bypass_dropout", [0.0, 0.3])
def test_calls_with_the_same_settings_share_their_graphs(
    bypass_dropout, lstm, monkeypatch
):
    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 0)
    controller = keras.layers.LSTMCell(6, **lstm)
    cell = keras_dnc.DNCCell(2, controller, 8, 4, bypass_dropout=bypass_dropout)
    layer = keras_dnc.MemoryRNN(cell)
    counts = []
    for _ in range(4):
        layer(np.ones((BATCH, TIME, FEATURES), "float32"), training=True)
        counts.append(len(torch_graph.entries_of(cell)))
    assert len(set(counts[1:])) == 1, "the first call builds the layer"


def test_torch_compile_gets_the_graphs_of_a_step(monkeypatch):
    import torch

    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 0)
    compiled = []
    layer = keras_dnc.MemoryRNN(keras_dnc.DNCCell(2, 6, 8, 4))
    x = np.ones((BATCH, TIME, FEATURES), "float32")
    plain = keras.ops.convert_to_numpy(layer(x))

    def compile_nothing(module, dynamic):
        assert dynamic is False
        compiled.append(module)
        return module.forward

    monkeypatch.setattr(torch, "compile", compile_nothing)
    outputs = torch_graph.with_compiled_graphs(layer)(x, training=True)
    (outputs**2).sum().backward()
    assert len(compiled) == 3  # the first state, a step, and its gradients
    np.testing.assert_allclose(outputs.detach().numpy(), plain, rtol=1e-6, atol=1e-7)
