"""MemoryRNN trains sparse cells in place, with the numbers of keras.layers.RNN."""

import math
import re
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.harness import check_same
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import value_and_gradients
from tests.skips import cases_but_on_jax
from tests.sparse.cells import random_cell

FULL = {"return_sequences": True, "return_state": True}
CASES = {  # cell, its arguments, whether it is masked, the layer's arguments
    "sam": ("SAMCell", {}, False, {}),
    "sam, all slots read": ("SAMCell", {"memory_size": 3}, True, {}),
    "sam, lsh": ("SAMCell", {"search": "lsh"}, True, {"go_backwards": True}),
    "sdnc": ("SDNCCell", {}, True, {}),
}


def everything(layer, inputs, mask):
    """Outputs, states, and gradients of weights, inputs, small states and memory."""
    cell = layer.cell
    rng = np.random.default_rng(3)
    inputs = keras.Variable(inputs)
    names = ["memory", "read_words", "read_weights", "controller_0"]
    names += [n for n in cell.state_names if n == "precedence_weights"]
    starts = {}
    for name, size in zip(cell.state_names, cell.state_size, strict=True):
        value = 0.3 * rng.random((3, size)) * (name in names)
        starts[name] = keras.Variable(value, dtype="float32")

    def loss():
        # A layer draws its dropout masks anew at each call, from its seed.
        for seed in cell.non_trainable_variables:
            if "seed" in seed.path:
                seed.assign(np.ones(seed.shape, "uint32"))
        states = [1.0 * start.value for start in starts.values()]
        results = layer(
            1.0 * inputs.value, initial_state=states, mask=mask, training=True
        )
        differentiable = [
            tensor
            for name, tensor in zip(cell.state_names, results[1:], strict=True)
            if name in names
        ]
        return sum(ops.sum(ops.sin(3.0 * t)) for t in [results[0], *differentiable])

    variables = [cell.trainable_variables, [inputs], [starts[n] for n in names]]
    value, gradients = value_and_gradients(loss, sum(variables, []))
    return [*layer(inputs, mask=mask), value, *gradients]


@pytest.mark.parametrize(
    "kind,sizes,masked,flags",
    cases_but_on_jax(CASES, {"sam", "sam, all slots read"}),
)
def test_outputs_states_and_gradients_are_those_of_the_plain_layer(
    rng, kind, sizes, masked, flags
):
    cell, inputs = random_cell(rng, kind, **sizes), random_inputs(rng, time=8)
    mask = length_mask((8, 5, 1), time=8) if masked else None
    layers = [keras_dnc.MemoryRNN, keras.layers.RNN]
    found, expected = (
        everything(layer(cell, **FULL, **flags), inputs, mask) for layer in layers
    )
    check_same(found, expected, 1e-5)


@pytest.mark.only("tensorflow", "torch")  # the same code on JAX, and slower
def test_dropout_masks_are_those_of_the_forward_pass(rng):
    controller = keras.layers.LSTMCell(8, dropout=0.4, recurrent_dropout=0.3, seed=1)
    cell, inputs = random_cell(rng, controller=controller), random_inputs(rng)
    layers = [keras_dnc.MemoryRNN(cell, recompute=r, **FULL) for r in (None, 0)]
    found, expected = (everything(layer, inputs, None) for layer in layers)
    check_same(found, expected, 1e-5)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("kind,search", [("SAMCell", "lsh"), ("SDNCCell", "exact")])
def test_xla_gives_the_same_gradients(rng, kind, search):
    cell, inputs = random_cell(rng, kind, search=search), random_inputs(rng)
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True)
    mask = ops.convert_to_tensor(length_mask())

    def loss():
        return ops.sum(ops.square(layer(inputs, mask=mask, training=True)))

    variables = cell.trainable_variables
    (value, gradients), (expected_value, expected) = (
        value_and_gradients(loss, variables, compiled) for compiled in (True, False)
    )
    check_same([value, *gradients], [expected_value, *expected], 1e-5)


@pytest.mark.only("tensorflow", "torch")  # JAX's states are no place to write into
def test_a_stateful_layer_trains(rng):
    cell, inputs = random_cell(rng, "SDNCCell"), random_inputs(rng)
    kinds = [keras_dnc.MemoryRNN, keras.layers.RNN]
    layers = [kind(cell, stateful=True, return_sequences=True) for kind in kinds]

    def gradients(layer):
        layer(inputs)
        layer.reset_state()
        layer(inputs)  # so that the states are not zero

        def loss():
            return ops.sum(ops.square(layer(inputs, training=True)))

        return value_and_gradients(loss, cell.trainable_variables)[1]

    check_same(*map(gradients, layers))


@pytest.mark.parametrize("kind,search", [("SAMCell", "lsh"), ("SDNCCell", "exact")])
@pytest.mark.only("jax")
def test_the_steps_of_a_sequence_share_one_memory(kind, search):
    """Training holds a few memories and their gradient, whatever the sequence."""
    import jax

    size, word = 16_384, 32
    sizes = {"memory_size": size, "word_size": word, "num_reads": 1}
    cell = random_cell(np.random.default_rng(0), kind, search=search, **sizes)
    layer = keras_dnc.MemoryRNN(cell)
    layer.build((1, None, 5))
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(weights, inputs):
        outputs, _ = layer.stateless_call(weights, others, inputs, training=True)
        return ops.sum(outputs)

    inputs = np.zeros((1, 100, 5), "float32")
    compiled = jax.jit(jax.grad(loss)).lower(weights, inputs).compile()
    state = 4 * sum(cell.state_size)
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * state
    # Nothing of the memory's size is copied inside the loops.
    text = compiled.as_text()
    loops = text[: text.index("ENTRY")]
    shapes = [shape for _, shape in re.findall(r"(%\S+) = f32\[([\d,]+)\]", loops)]
    assert max(map(elements, shapes)) >= size * word
    copies = re.findall(r"= f32\[([\d,]+)\]\S* copy\(", loops)
    assert not [shape for shape in copies if elements(shape) >= size]


def elements(shape):
    """Count the elements of a shape such as "3,4"."""
    return math.prod(int(axis) for axis in shape.split(","))


@pytest.mark.only("jax")
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_gradient_in_place_exports_for_an_accelerator(platform):
    import jax

    cell = random_cell(np.random.default_rng(0), "SDNCCell", search="lsh")
    layer = keras_dnc.MemoryRNN(cell)
    layer.build((3, None, 5))
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(weights, inputs):
        return ops.sum(layer.stateless_call(weights, others, inputs, training=True)[0])

    inputs = np.zeros((3, 6, 5), "float32")
    gradient = jax.jit(jax.grad(loss))
    exported = jax.export.export(gradient, platforms=[platform])(weights, inputs)
    assert platform in exported.platforms


@pytest.mark.parametrize("recompute", [1, 7])
def test_recomputing_is_refused(recompute):
    cell = keras_dnc.SAMCell(3, 8)
    with pytest.raises(ValueError, match=r"`recompute` must be None or 0.*Received"):
        keras_dnc.MemoryRNN(cell, recompute=recompute)


def test_a_stack_of_sparse_cells_is_refused():
    cells = [keras_dnc.SAMCell(3, 8), keras.layers.LSTMCell(3)]
    with pytest.raises(ValueError, match=r"`cell` must not stack.*Received"):
        keras_dnc.MemoryRNN(cells)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("slots,compiled", [(16_385, True), (16_384, False)])
def test_nothing_is_said_of_a_memory_that_is_small_or_compiled(slots, compiled):
    model = large_model(slots, compiled)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.predict(np.zeros((1, 2, 5), "float32"), verbose=0)


@pytest.mark.only("tensorflow", "torch")
def test_a_large_memory_outside_xla_is_warned_of():
    model = large_model(16_385, False)
    with pytest.warns(
        UserWarning, match="copies its memory of 16385 slots.*jit_compile=True"
    ):
        model.predict(np.zeros((1, 2, 5), "float32"), verbose=0)


def large_model(slots, compiled):
    cell = keras_dnc.SAMCell(3, 4, memory_size=slots, word_size=2, num_reads=1)
    inputs = keras.Input((None, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = keras.Model(inputs, keras_dnc.MemoryRNN(cell)(inputs))
    model.compile("sgd", "mse", jit_compile=compiled)
    return model
