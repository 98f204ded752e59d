"""The private names of Keras and TensorFlow still mean what the package relies on."""

import ast
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.backend import keras_internals

ROOT = pathlib.Path(keras_dnc.__file__).parent
PRIVATE_MODULES = ("keras.src", "tensorflow.python")
PRIVATE_NAMES = {
    "_called",
    "_dropout_mask",
    "_flatten_layers",
    "_functional",
    "_get_variable_index",
    "_initial_epoch",
    "_initialized",
    "_momentums",
    "_nodes_by_depth",
    "_recurrent_dropout_mask",
    "_velocities",
}
THIRD = 1.0 / 3.0  # which bfloat16 rounds


@pytest.fixture
def third():
    return keras.Variable(THIRD, dtype="float32")


class Reader(keras.layers.Layer):
    """Reads a variable in its call, with and without autocasting."""

    def __init__(self, variable, dtype):
        super().__init__(dtype=dtype)
        self.variable = variable

    def call(self, inputs):
        self.cast = self.variable.value
        with keras_internals.no_autocast():
            self.dtype_within, self.kept = self.variable.dtype, self.variable.value
        self.dtype_after = self.variable.dtype
        return inputs


def test_variables_are_read_rounded_but_where_autocasting_is_off(third):
    reader = Reader(third, "mixed_bfloat16")
    reader(ops.ones((1, 1)))
    assert keras.backend.standardize_dtype(reader.cast.dtype) == "bfloat16", (
        "a layer no longer casts variables: no_autocast is not needed"
    )
    assert ops.convert_to_numpy(reader.kept) == np.float32(THIRD), (
        "no_autocast no longer ends autocasting: weights of float32 cells are "
        "rounded to half precision inside a layer with a mixed policy"
    )
    assert reader.dtype_after == "bfloat16", "no_autocast does not end with its block"


def test_without_autocasting_variables_have_their_own_dtype():
    reader = Reader(keras.Variable(THIRD, dtype="float64"), "float32")
    reader(ops.ones((1, 1)))
    assert reader.dtype_within == "float64", (
        "a variable says another dtype than its own where autocasting is off: "
        "StatelessScope casts weights of float64 cells to floatx"
    )


class Witness(keras.layers.Layer):
    def call(self, inputs):
        self.symbolic = keras_internals.in_symbolic_scope()
        return inputs


def test_calls_on_a_keras_input_and_no_others_are_in_the_symbolic_scope():
    witness = Witness()
    witness(keras.Input((2,)))
    assert witness.symbolic, (
        "in_symbolic_scope() is false while Keras infers shapes: MemoryRNN warns of "
        "copies of its memory while a model is only being built"
    )
    witness(ops.zeros((1, 2)))
    assert not witness.symbolic, (
        "in_symbolic_scope() is true in eager calls: MemoryRNN never warns of copies"
    )


class CellThatRecords(keras.layers.Layer, keras_internals.DropoutRNNCell):
    dropout = recurrent_dropout = 0.5
    state_size = 3

    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(1)
        self.calls = []

    def get_dropout_mask(self, step_input):
        self.calls.append("inputs")
        return super().get_dropout_mask(step_input)

    def get_recurrent_dropout_mask(self, step_input):
        self.calls.append("recurrent")
        return super().get_recurrent_dropout_mask(step_input)

    def reset_dropout_mask(self):
        self.calls.append("reset inputs")
        super().reset_dropout_mask()

    def reset_recurrent_dropout_mask(self):
        self.calls.append("reset recurrent")
        super().reset_recurrent_dropout_mask()

    def call(self, inputs, states):
        self.calls.append("step")
        return inputs, states


def test_rnn_asks_a_dropout_cell_for_its_masks_before_the_loop_and_resets_them_after():
    cell = CellThatRecords()
    keras.layers.RNN(cell, unroll=True)(ops.ones((2, 4, 3)))
    masks, resets = ["inputs", "recurrent"], ["reset inputs", "reset recurrent"]
    assert cell.calls == [*masks, *["step"] * 4, *resets], (
        "keras.layers.RNN no longer creates the masks of a DropoutRNNCell before its "
        "loop and resets them after it: masks leak tracers on JAX, differ between the "
        "steps, or are kept for the next batch"
    )


def test_the_masks_of_a_dropout_cell_can_be_read_and_replaced():
    cell = CellThatRecords()
    created = [cell.get_dropout_mask(ops.ones((2, 3)))]
    created += [cell.get_recurrent_dropout_mask(ops.ones((2, 3)))]
    found = keras_internals.dropout_masks(cell)
    assert all(mask is other for mask, other in zip(found, created, strict=True)), (
        "dropout_masks does not return the cached masks: a step recomputed in "
        "back-propagation drops other numbers than in the forward pass"
    )
    others = [ops.zeros((2, 3)), None]
    keras_internals.set_dropout_masks(cell, others)
    assert cell.get_dropout_mask(ops.ones((2, 3))) is others[0], (
        "set_dropout_masks does not replace the cached masks: a step recomputed in "
        "back-propagation drops other numbers than in the forward pass"
    )


def test_a_cell_without_cached_masks_has_none():
    lstm = keras.layers.LSTMCell(2, dropout=0.5)
    assert keras_internals.dropout_masks(lstm) == [None, None]


def test_all_layers_reaches_cells_and_models_inside_a_model():
    cell = keras.layers.StackedRNNCells([keras.layers.LSTMCell(2, name="deep")])
    inner = keras.Sequential([keras.Input((None, 3)), keras.layers.RNN(cell)])
    outer = keras.Sequential([keras.Input((None, 3)), inner])
    names = [layer.name for layer in keras_internals.all_layers(outer)]
    assert "deep" in names, (
        "all_layers does not reach a cell inside a stack inside a model: `trace` and "
        "`resize_memory` miss memory cells, and dropout masks are not reset"
    )
    assert outer.name not in names and len(set(names)) == len(names)


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_calls_of_a_graph_are_those_of_the_model_alone_in_order(kind):
    inputs, layers = keras.Input((3,)), [keras.layers.Dense(3) for _ in range(2)]
    other = keras.Model(inputs, layers[0](layers[1](inputs)))
    model = keras.Model(inputs, layers[1](layers[0](inputs)))
    if kind == "sequential":
        model = keras.Sequential([keras.Input((3,)), *layers])
    calls = keras_internals.calls_of_graph(model)
    assert [call.layer for call in calls] == layers, (
        "calls_of_graph does not return the layers of a model in order: "
        "export_for_serving runs the steps of a chain in another order, or leaves the "
        "`step` signature out"
    )
    tensors = [model.inputs[0], *(call.outputs[0] for call in calls)]
    assert [call.inputs[0] for call in calls] == tensors[:-1]
    assert tensors[-1] is model.outputs[0]
    others = keras_internals.calls_of_graph(other)
    assert [call.layer for call in others] == layers[::-1]


def model_and_data(rng):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model, rng.normal(size=(4, 3)), rng.normal(size=(4, 2))


@pytest.mark.parametrize("is_loaded", [False, True], ids=["built", "loaded"])
@pytest.mark.parametrize("kind", ["functional", "sequential", "subclass"])
def test_export_signature_has_shapes_and_dtypes_of_the_inputs(
    kind, is_loaded, tmp_path
):
    make = {"functional": functional, "sequential": sequential, "subclass": called}
    model = make[kind]()
    if is_loaded:
        model.save(tmp_path / "model.keras")
        known = {"Subclass": type(model)}
        model = keras.models.load_model(tmp_path / "model.keras", known)
    (spec,) = keras.tree.flatten(keras_internals.export_signature(model))
    assert (spec.shape[1:], spec.dtype) == ((5, 3), "float32"), (
        "export_signature does not return shapes and dtypes of a model's inputs: "
        "export_for_serving cannot build its signatures"
    )


def functional():
    inputs = keras.Input((5, 3))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def sequential():
    return keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(2)])


def called():
    class Subclass(keras.Model):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclass()
    model(ops.zeros((2, 5, 3)))
    return model


def test_the_moments_of_adam_are_those_of_the_variable_and_change_with_a_step(rng):
    model, inputs, targets = model_and_data(rng)
    model.optimizer.build(model.trainable_variables)
    model.fit(inputs, targets, verbose=0)
    for variable in model.trainable_variables:
        moments = keras_internals.optimizer_moments(model.optimizer, variable)
        for moment in moments:
            assert moment.shape == variable.shape and np.any(moment.numpy()), (
                "optimizer_moments does not return the moments that Adam updates: "
                "the sparse optimizer of keras_dnc trains rows with stale moments"
            )
        first, second = (moment.numpy() for moment in moments)
        np.testing.assert_allclose(  # (0.1 gradient)^2 and 0.001 gradient^2
            first**2 / 10, second, rtol=1e-4, err_msg="not the moments of one step"
        )


def detected(jit_compile, in_loop=False):
    """Trace a function, and return what `tensorflow_compiles_with_xla` says in it."""
    import tensorflow as tf

    found = []

    def body(number):
        found.append(keras_internals.tensorflow_compiles_with_xla())
        return number + 1.0

    @tf.function(jit_compile=jit_compile)
    def function(number):
        if not in_loop:
            return body(number)
        return tf.while_loop(lambda n: n < 3.0, lambda n: (body(n),), (number,))

    function.get_concrete_function(tf.constant(0.0))
    return set(found)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("in_loop", [False, True])
def test_compilation_by_xla_is_detected_also_within_a_loop(in_loop):
    assert detected(True, in_loop) == {True}, (
        "tensorflow_compiles_with_xla() is false under jit_compile=True: sparse "
        "memories take the slow path, and MemoryRNN warns without a reason"
    )
    assert detected(False, in_loop) == {False}, (
        "tensorflow_compiles_with_xla() is true in a graph without XLA: MemoryRNN does "
        "not warn that its memory is copied at every step"
    )


@pytest.mark.only("tensorflow")
def test_eager_execution_is_not_compiled_by_xla():
    assert not keras_internals.tensorflow_compiles_with_xla()


def private_names(tree):
    """Yield private modules and names of Keras and TensorFlow in a syntax tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node), node.attr]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]  # for `getattr`
        else:
            continue
        for name in names:
            if name in PRIVATE_NAMES or f"{name}.".startswith(
                tuple(f"{module}." for module in PRIVATE_MODULES)
            ):
                yield name


@pytest.mark.parametrize(
    "code, found",
    [
        ("from keras import src", {"keras.src"}),
        ("import tensorflow.python.ops", {"tensorflow.python.ops"}),
        ("layer._flatten_layers()", {"_flatten_layers"}),
        ("getattr(cell, '_dropout_mask')", {"_dropout_mask"}),
        ("import keras.srcs; cell.get_dropout_mask()", set()),
    ],
)
def test_the_search_for_private_names_finds_them(code, found):
    assert set(private_names(ast.parse(code))) == found


def test_private_names_of_keras_and_tensorflow_are_in_one_file():
    allowed = ROOT / "backend" / "keras_internals.py"
    found = {
        str(path.relative_to(ROOT)): names
        for path in sorted(ROOT.rglob("*.py"))
        if path != allowed
        and (names := sorted(set(private_names(ast.parse(path.read_text())))))
    }
    assert not found, "move these names to keras_internals.py, each with a test here"
