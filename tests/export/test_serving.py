"""What is exported runs without Keras, whole or step by step, and names its parts."""

import logging

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.export import StreamingClient
from keras_dnc.export import export_for_serving
from tests.export.conftest import CELLS
from tests.export.conftest import sequences
from tests.numbers import assert_close

pytestmark = pytest.mark.only("tensorflow")


def memory_cell(**arguments):
    sizes = {"controller": 8, "memory_size": 7, "word_size": 4, "num_reads": 2}
    return keras_dnc.NTMCell(3, **{**sizes, **arguments})


def memory_layer(**arguments):
    rnn = {"return_sequences": True, "name": "machine", **arguments}
    return keras.layers.RNN(memory_cell(), **rnn)


def chain(*layers, features=5):
    return keras.Sequential([keras.Input((None, features)), *layers])


@pytest.fixture
def model():
    return chain(keras.layers.LSTM(3, return_sequences=True))


def signatures(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signatures = dict(loaded.signatures)
    signatures["keep"] = loaded  # the functions hold it weakly
    return signatures


def step_through(served, inputs):
    """Feed one step after another, states by name; give outputs and last states."""
    import tensorflow as tf

    initial_state = served["initial_state"]
    states = initial_state(batch_size=tf.constant(len(inputs)))
    outputs = []
    for time in range(inputs.shape[1]):
        answer = served["step"](inputs=tf.constant(inputs[:, time]), **states)
        outputs.append(answer.pop("outputs").numpy())
        assert set(answer) == set(states)
        states = answer
    return np.stack(outputs, axis=1), states


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_served_whole_and_step_by_step(exported, cell):
    import tensorflow as tf

    export, inputs = exported(cell), sequences(2, 7)
    whole = export.signature("serving_default")(inputs=tf.constant(inputs))["outputs"]
    assert_close(whole, export.expected(inputs))
    steps, states = step_through(export.loaded.signatures, inputs)
    assert_close(steps, whole)
    assert states["memory"].shape == (2, 9, 4)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_a_load_has_no_warning(exported, cell, caplog):
    export = exported(cell)
    with caplog.at_level(logging.WARNING):
        signatures(export.folder)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.slow
def test_states_are_those_of_a_trace(exported):
    """An NTM begins with its heads on slot 0, whatever Keras resets its states to."""
    start = exported("ntm").signature("initial_state")(batch_size=np.int32(2))
    assert_close(start["memory"], np.full((2, 9, 4), 1e-6))
    assert_close(start["read_weights"], np.tile(np.eye(9)[0], (2, 2, 1)))


def padded(lengths, time, seed=1):
    """Sequences with NaN after their ends."""
    inputs = sequences(len(lengths), time, seed)
    for row, length in enumerate(lengths):
        inputs[row, length:] = np.nan
    return inputs


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_nothing(exported, cell):
    export, lengths = exported(cell), np.array([6, 1, 4], "int32")
    inputs = padded(lengths, 6)
    served = export.signature("serving_padded")(inputs=inputs, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = export.expected(inputs[row : row + 1, :length])[0]
        assert_close(served["outputs"][row, :length], alone)


def last_output_model():
    return chain(keras.layers.RNN(memory_cell()), keras.layers.Dense(2))


def masking_model():
    return chain(keras.layers.Masking(), memory_layer(), keras.layers.LSTM(4))


def backwards_model():
    return chain(keras.layers.LSTM(4, go_backwards=True, name="backwards"))


def both_ways_model():
    return chain(keras.layers.Bidirectional(keras.layers.LSTM(4), name="both"))


def functional_model():
    """Both ways and a short cut: no chain, and every layer hands the mask on."""
    inputs = keras.Input((None, 5))
    hidden = keras.layers.Bidirectional(memory_layer())(inputs)
    short_cut = keras.layers.Dense(6)(inputs)
    added = keras.layers.Add()([hidden, short_cut])
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(added))


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        last_output_model,
        masking_model,
        backwards_model,
        both_ways_model,
        functional_model,
    ],
)
@pytest.mark.filterwarnings("ignore:Exported without")
def test_what_looks_at_the_end_is_not_misled_by_padding(build, tmp_path):
    model, lengths = build(), np.array([6, 1, 4], "int32")
    inputs = padded(lengths, 6)
    serve = signatures(export_for_serving(model, tmp_path))["serving_padded"]
    outputs = serve(inputs=inputs, lengths=lengths)["outputs"]
    for row, length in enumerate(lengths):
        alone = model.predict(inputs[row : row + 1, :length], verbose=0)
        assert_close(outputs[row : row + 1], alone)


@pytest.mark.slow
@pytest.mark.parametrize("mask_zero", [False, True])
def test_tokens_are_padded_with_anything(mask_zero, tmp_path):
    embed = keras.layers.Embedding(9, 4, mask_zero=mask_zero)
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), embed, keras.layers.RNN(memory_cell())]
    )
    serve = signatures(export_for_serving(model, tmp_path))["serving_padded"]
    tokens = np.array([[3, 1, 8, 2], [2, 5, 8, 8]], "int32")
    outputs = serve(inputs=tokens, lengths=np.array([4, 2], "int32"))["outputs"]
    assert_close(outputs[0], model.predict(tokens[:1], verbose=0)[0])
    assert_close(outputs[1], model.predict(tokens[1:, :2], verbose=0)[0])


@pytest.mark.slow
def test_words_are_served_as_they_are(tmp_path):
    import tensorflow as tf

    words = ["mary", "went", "home"]
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="string"),
            keras.layers.StringLookup(vocabulary=words),
            keras.layers.Embedding(4, 4),
            memory_layer(),
        ]
    )
    served = signatures(export_for_serving(model, tmp_path, warmup=[["mary", "went"]]))
    text = np.array([["mary", "went", "home"], ["home", "home", "there"]], object)
    outputs, _ = step_through(served, text)
    whole = served["serving_default"](inputs=tf.constant(text))["outputs"]
    assert_close(outputs, whole)
    cut = np.where(np.arange(3) < [[3], [2]], text, "mary")
    lengths = np.array([3, 2], "int32")
    padded_ = served["serving_padded"](inputs=tf.constant(cut), lengths=lengths)
    assert_close(padded_["outputs"][1, :2], whole[1, :2])


@pytest.mark.slow
@pytest.mark.parametrize("trainable", [True, False])
def test_every_weight_is_saved_once(model, tmp_path, trainable):
    import tensorflow as tf

    model.trainable = trainable
    folder = export_for_serving(model, tmp_path)
    saved = tf.train.list_variables(str(folder / "variables" / "variables"))
    shapes = [shape for name, shape in saved if name.endswith("VARIABLE_VALUE")]
    assert sorted(shapes) == sorted(list(weight.shape) for weight in model.weights)


@pytest.mark.slow
def test_the_table_of_a_layer_with_weights_is_exported(tmp_path):
    import tensorflow as tf

    class Words(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            words = tf.lookup.KeyValueTensorInitializer(["mary"], [1], None, tf.int64)
            self.table = tf.lookup.StaticHashTable(words, 0)

        def build(self, shape):
            self.vectors = self.add_weight(shape=(2, 3))

        def call(self, inputs):
            return keras.ops.take(self.vectors, self.table.lookup(inputs), axis=0)

    layer = Words()
    model = keras.Sequential([keras.Input((None,), dtype="string"), layer])
    with pytest.warns(UserWarning, match="layer 'words'"):  # not run step by step
        served = signatures(export_for_serving(model, tmp_path))["serving_default"]
    outputs = served(inputs=tf.constant([["mary", "john"]]))["outputs"]
    assert_close(outputs[0], layer.vectors.numpy()[[1, 0]])


@pytest.mark.slow
def test_states_have_the_names_and_shapes_of_the_named_tuples(exported):
    _, specs = exported("dnc").signature("step").structured_input_signature
    assert {name: tuple(spec.shape[1:]) for name, spec in specs.items()} == {
        "inputs": (5,),
        "output": (3,),
        "read_words": (2, 4),
        "memory": (9, 4),
        "usage": (9,),
        "link": (1, 9, 9),
        "precedence_weights": (1, 9),
        "read_weights": (2, 9),
        "write_weights": (1, 9),
        "controller_0": (8,),
        "controller_1": (8,),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.LSTM(4, return_sequences=True), memory_layer()],
        [keras.layers.GRU(4, return_sequences=True), keras.layers.LayerNormalization()],
        [
            keras.layers.RNN(
                [memory_cell(), keras.layers.GRUCell(3)], return_sequences=True
            )
        ],
        [keras_dnc.MemoryRNN(memory_cell(), recompute=2, return_sequences=True)],
        [keras.layers.Dropout(0.5), memory_layer(dtype="mixed_bfloat16")],
        [
            keras.layers.RNN(
                memory_cell(
                    controller=keras.layers.StackedRNNCells(
                        [keras.layers.LSTMCell(4), keras.layers.GRUCell(6)]
                    )
                ),
                return_sequences=True,
            ),
            keras.layers.TimeDistributed(keras.layers.Dense(2)),
        ],
    ],
    ids=["lstm", "gru", "stacked-cells", "memory-rnn", "mixed", "stacked-controller"],
)
def test_any_chain_runs_step_by_step(layers, rng, tmp_path):
    model = chain(*layers)
    served = signatures(export_for_serving(model, tmp_path))
    inputs = rng.normal(size=(3, 4, 5)).astype("float32")
    outputs, _ = step_through(served, inputs)
    assert_close(outputs, model.predict(inputs, verbose=0))


@pytest.mark.slow
def test_several_recurrent_layers_keep_their_states_apart(tmp_path):
    model = chain(
        keras.layers.LSTM(4, return_sequences=True, name="first"), memory_layer()
    )
    served = signatures(export_for_serving(model, tmp_path))
    names = set(served["step"].structured_input_signature[1])
    assert {
        "first_state_0",
        "first_state_1",
        "machine_memory",
        "machine_output",
    } <= names


@pytest.mark.slow
def test_a_layer_that_gives_its_last_output_gives_it_at_each_step(rng, tmp_path):
    cell = memory_cell()
    model = chain(keras.layers.RNN(cell), keras.layers.Dense(2))
    served = signatures(export_for_serving(model, tmp_path))
    inputs = rng.normal(size=(3, 4, 5)).astype("float32")
    outputs, _ = step_through(served, inputs)
    assert_close(outputs[:, -1], model.predict(inputs, verbose=0))
    assert_close(outputs[:, 1], model.predict(inputs[:, :2], verbose=0))


@pytest.mark.slow
def test_tokens_and_their_mask_run_step_by_step(rng, tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(9, 4, mask_zero=True)(tokens)
    model = keras.Model(tokens, memory_layer()(hidden))
    served = signatures(export_for_serving(model, tmp_path))
    inputs = np.array([[3, 1, 8], [2, 0, 5]], "int32")
    outputs, states = step_through(served, inputs)
    expected = model.predict(inputs, verbose=0)
    assert_close(outputs[inputs > 0], expected[inputs > 0])
    _, unpadded = step_through(served, np.array([[2, 5]], "int32"))
    assert_close(states["memory"][1], unpadded["memory"][0])


@pytest.mark.slow
@pytest.mark.parametrize("return_sequences", [True, False])
def test_padded_steps_change_nothing_step_by_step(rng, tmp_path, return_sequences):
    layer = keras.layers.RNN(memory_cell(), return_sequences=return_sequences)
    model = chain(keras.layers.Masking(), layer)
    inputs = rng.normal(size=(3, 5, 5)).astype("float32")
    inputs[0, 3:], inputs[1, 1:] = 0.0, 0.0
    served = signatures(export_for_serving(model, tmp_path))
    outputs, _ = step_through(served, inputs)
    expected = model.predict(inputs, verbose=0)
    assert_close(outputs if return_sequences else outputs[:, -1], expected)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, name="subclassed", **arguments):
        super().__init__(name=name, **arguments)
        self.rnn = memory_layer()

    def call(self, inputs):
        return self.rnn(inputs)


def subclassed_model():
    model = Subclassed()
    model(np.zeros((2, 4, 5), "float32"))
    return model


def residual_model():
    inputs = keras.Input((None, 3))
    added = keras.layers.Add(name="residual")([inputs, memory_layer()(inputs)])
    return keras.Model(inputs, added)


def pooling_model():
    return chain(memory_layer(), keras.layers.GlobalAveragePooling1D(name="pool"))


def time_norm_model():
    return keras.Sequential(
        [
            keras.Input((4, 5)),
            keras.layers.LayerNormalization(axis=1, name="over_time"),
            memory_layer(),
        ]
    )


def two_output_model():
    inputs = keras.Input((None, 5))
    hidden = keras.layers.LSTM(4, return_sequences=True)(inputs)
    last = keras.layers.Dense(2, name="last")(hidden)
    return keras.Model(inputs, [last, hidden])


def stateless_model():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)], name="flat")


def other_mask_model():
    """Its padding is not the zeros that an export pads with, and it is no chain."""
    masking = keras.layers.Masking(mask_value=-1.0, name="other_mask")
    return chain(masking, keras.layers.Bidirectional(memory_layer()))


def group_norm_model():
    """It hands masks on, and normalises over padding all the same."""
    return chain(keras.layers.GroupNormalization(1, name="over_all"), memory_layer())


class LearnedStart(keras.layers.GRUCell):
    def get_initial_state(self, batch_size=None):
        return [keras.ops.full((batch_size, self.units), 0.25)]


@pytest.mark.slow
def test_an_output_has_one_name_in_every_signature(tmp_path):
    inputs = keras.Input((None, 5))
    hidden = keras.layers.LSTM(3, return_sequences=True)(inputs)
    path = export_for_serving(keras.Model(inputs, {"answer": hidden}), tmp_path)
    served = signatures(path)
    for name in ("serving_default", "serving_padded", "step"):
        assert "answer" in served[name].structured_outputs
        assert "outputs" not in served[name].structured_outputs
    assert StreamingClient(path).step(np.ones((1, 5))).shape == (1, 3)
    assert 'answer.outputs["answer"]' in (path / "README.md").read_text()


@pytest.mark.slow
def test_what_does_not_start_from_zeros_starts_right(rng, tmp_path):
    cell = memory_cell(controller=LearnedStart(6))
    model = chain(keras.layers.RNN(cell, return_sequences=True))
    served = signatures(export_for_serving(model, tmp_path))
    inputs = rng.normal(size=(3, 4, 5)).astype("float32")
    outputs, _ = step_through(served, inputs)
    assert_close(outputs, model.predict(inputs, verbose=0))


def sequential_model():
    return chain(memory_layer(), keras.layers.Dense(2))


def chain_model():
    inputs = keras.Input((None, 5))
    return keras.Model(inputs, keras.layers.Dense(2)(memory_layer()(inputs)))


def shared_model():
    """Its layers belong to another model, too."""
    inputs = keras.Input((None, 5))
    hidden = memory_layer()(inputs)
    trained = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    return keras.Sequential([keras.Input((None, 5)), *trained.layers[1:]])


@pytest.mark.slow
@pytest.mark.parametrize("build", [sequential_model, chain_model, shared_model])
def test_a_model_that_was_trained_saved_and_loaded_runs_step_by_step(
    build, rng, tmp_path
):
    inputs, targets = (rng.normal(size=(3, 4, n)).astype("float32") for n in (5, 2))
    model = build()
    model.compile("adam", "mse")
    model.fit(inputs, targets, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    served = signatures(export_for_serving(loaded, tmp_path / "served"))
    outputs, _ = step_through(served, inputs)
    assert_close(outputs, model.predict(inputs, verbose=0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Exported without")
def test_a_model_of_ones_own_class_that_was_saved_and_loaded_is_served(rng, tmp_path):
    inputs, model = rng.normal(size=(3, 4, 5)).astype("float32"), subclassed_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    served = signatures(export_for_serving(loaded, tmp_path / "served"))
    whole = served["serving_default"](inputs=inputs)["outputs"]
    assert_close(whole, model.predict(inputs, verbose=0))


def repeated_layer_model():
    inputs = keras.Input((None, 5))
    layer = keras.layers.LSTM(5, return_sequences=True, name="twice")
    return keras.Model(inputs, layer(layer(inputs)))


def two_tensor_model():
    """A layer of several outputs, of which the model returns the first."""
    inputs = keras.Input((None, 5))
    layer = keras.layers.GRU(4, return_sequences=True, return_state=True, name="pair")
    return keras.Model(inputs, layer(inputs)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "named"),
    [
        (two_output_model, "last"),
        (repeated_layer_model, "twice"),
        (two_tensor_model, "pair"),
        (stateless_model, "flat"),
        (residual_model, "residual"),
        (both_ways_model, "both"),
        (pooling_model, "pool"),
        (backwards_model, "backwards"),
        (time_norm_model, "over_time"),
        (subclassed_model, "subclassed"),
    ],
)
def test_what_is_no_chain_is_exported_without_step_and_named(build, named, tmp_path):
    with pytest.warns(UserWarning, match=f"without the `step` signature.*'{named}'"):
        path = export_for_serving(build(), tmp_path)
    assert "serving_default" in signatures(path)
    assert not {"step", "initial_state"} & set(signatures(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "named"),
    [
        (stateless_model, "flat"),
        (subclassed_model, "subclassed"),
        (time_norm_model, "over_time"),
        (other_mask_model, "other_mask"),
        (group_norm_model, "over_all"),
    ],
)
@pytest.mark.filterwarnings("ignore:Exported without the `(step|initial_state)`")
def test_what_loses_masks_is_exported_without_padding_and_named(build, named, tmp_path):
    with pytest.warns(UserWarning, match=f"without the `serving_padded`.*'{named}'"):
        path = export_for_serving(build(), tmp_path)
    assert "serving_padded" not in signatures(path)


@pytest.mark.slow
def test_versions_count_up(tmp_path):
    model = chain(keras.layers.Dense(2))
    paths = [export_for_serving(model, tmp_path) for _ in range(2)]
    paths.append(export_for_serving(model, tmp_path, version=9))
    paths.append(export_for_serving(model, tmp_path))
    assert [path.name for path in paths] == ["1", "2", "9", "10"]


@pytest.mark.parametrize("version", [0, -1, 1.5, "2"])
def test_a_version_must_be_a_positive_integer(model, tmp_path, version):
    with pytest.raises(ValueError, match="`version` must be a positive integer"):
        export_for_serving(model, tmp_path, version=version)


@pytest.mark.slow
def test_an_existing_version_is_refused(model, tmp_path):
    export_for_serving(model, tmp_path, version=3)
    with pytest.raises(ValueError, match="`version` must be one that does not exist"):
        export_for_serving(model, tmp_path, version=3)


def test_a_stateful_layer_is_refused_and_named(tmp_path):
    inputs = keras.Input(batch_shape=(2, 4, 5))
    model = keras.Model(inputs, memory_layer(stateful=True)(inputs))
    with pytest.raises(ValueError, match=r"no stateful layer.*\['machine'\]"):
        export_for_serving(model, tmp_path)


def test_a_stateful_layer_inside_an_inner_model_is_refused(tmp_path):
    inputs = keras.Input(batch_shape=(2, 4, 5))
    inner = keras.Sequential([keras.layers.LSTM(4, stateful=True, name="deep")])
    model = keras.Model(inputs, inner(inputs))
    with pytest.raises(ValueError, match=r"no stateful layer.*'deep'"):
        export_for_serving(model, tmp_path)


@pytest.mark.parametrize("model", [None, "model", keras.Sequential([memory_layer()])])
def test_what_is_no_built_model_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="`model` must be a Keras model that has been"):
        export_for_serving(model, tmp_path)


def two_inputs(as_dict):
    """A model of a story and a question, and its inputs by name."""
    inputs = {
        "story": keras.Input((None,), dtype="int32", name="story"),
        "question": keras.Input((4,), name="question"),
    }
    story = memory_layer(return_sequences=False)(
        keras.layers.Embedding(7, 5)(inputs["story"])
    )
    answer = keras.layers.Concatenate()([story, inputs["question"]])
    given = inputs if as_dict else list(inputs.values())
    return keras.Model(given, keras.layers.Dense(2)(answer))


@pytest.mark.slow
@pytest.mark.parametrize("as_dict", [True, False])
def test_several_inputs_are_served_by_name(as_dict, rng, tmp_path):
    model = two_inputs(as_dict)
    arrays = {
        "story": rng.integers(0, 7, (2, 6)).astype("int32"),
        "question": rng.normal(size=(2, 4)).astype("float32"),
    }
    with pytest.warns(UserWarning, match="takes the inputs .*story"):
        path = export_for_serving(model, tmp_path, warmup=arrays)
    served = signatures(path)
    assert set(served) - {"keep"} == {"serving_default"}
    found = served["serving_default"](**arrays)["outputs"]
    given = arrays if as_dict else list(arrays.values())
    assert_close(found, model.predict(given, verbose=0))
    assert "question" in (path / "README.md").read_text()


def test_warmup_of_several_inputs_needs_each_of_them(tmp_path):
    with pytest.raises(ValueError, match=r"`warmup` must be a dict .*'question'"):
        export_for_serving(two_inputs(False), tmp_path, warmup={"story": [[1]]})


@pytest.mark.slow
def test_outputs_and_states_of_a_layer_are_served(rng, tmp_path):
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, memory_layer(return_state=True)(inputs))
    with pytest.warns(UserWarning, match="'machine' is not part of a chain"):
        path = export_for_serving(model, tmp_path)
    data = rng.normal(size=(2, 3, 5)).astype("float32")
    found = signatures(path)["serving_default"](inputs=data)
    expected = model.predict(data, verbose=0)
    assert len(found) == len(expected) > 2
    for number, array in enumerate(expected):
        assert_close(found[f"outputs_{number}" if number else "outputs"], array)


@pytest.mark.slow
def test_warmup_requests_run_against_the_export(model, rng, tmp_path):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    inputs = rng.normal(size=(2, 3, 5))  # float64, as NumPy makes it
    path = export_for_serving(model, tmp_path, warmup=inputs)
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    served, seen = signatures(path), set()
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        sent = {name: tf.make_ndarray(p) for name, p in request.inputs.items()}
        outputs = served[request.model_spec.signature_name](**sent)
        assert all(np.all(np.isfinite(array)) for array in outputs.values())
        seen.add(request.model_spec.signature_name)
        if request.model_spec.signature_name == "serving_default":
            np.testing.assert_array_equal(sent["inputs"], inputs.astype("float32"))
    assert seen == set(served) - {"keep"}


@pytest.mark.parametrize(
    "warmup", [np.zeros((2, 5)), np.zeros((2, 3, 6)), np.full((2, 3, 5), "word")]
)
def test_a_warmup_that_does_not_fit_is_refused_before_anything_is_written(
    model, tmp_path, warmup
):
    with pytest.raises(ValueError, match="`warmup` must"):
        export_for_serving(model, tmp_path, warmup=warmup)
    assert not list(tmp_path.iterdir())
