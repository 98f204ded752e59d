"""What is exported runs without Keras, whole or step by step, and names its parts."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.export import export_for_serving
from tests.numbers import assert_close

pytestmark = pytest.mark.only("tensorflow")

WITHOUT_OUR_CODE = """
import sys
import numpy as np
import tensorflow as tf
path, inputs, expected = sys.argv[1], *map(np.load, sys.argv[2:])
outputs = tf.saved_model.load(path).signatures["serving_default"](
    inputs=tf.constant(inputs)
)["outputs"]
assert np.max(np.abs(outputs - expected)) < 1e-5
assert "keras_dnc" not in sys.modules
"""


def dnc_cell(**arguments):
    sizes = {"controller": 8, "memory_size": 7, "word_size": 4, "num_reads": 2}
    return keras_dnc.DNCCell(3, **{**sizes, **arguments})


def dnc_layer(**arguments):
    return keras.layers.RNN(dnc_cell(), return_sequences=True, name="dnc", **arguments)


def chain(*layers, features=5):
    return keras.Sequential([keras.Input((None, features)), *layers])


@pytest.fixture
def model():
    return chain(
        keras.layers.Dense(6, "tanh"), dnc_layer(), keras.layers.Dense(2, name="answer")
    )


def signatures(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signatures = dict(loaded.signatures)
    signatures["keep"] = loaded  # the functions hold it weakly
    return signatures


def step_through(step, inputs):
    """Feed one step after another, states by name; give outputs and last states."""
    import tensorflow as tf

    specs = dict(step.structured_input_signature[1])
    specs.pop("inputs")
    states = {
        n: tf.zeros((len(inputs), *s.shape[1:]), s.dtype) for n, s in specs.items()
    }
    outputs = []
    for time in range(inputs.shape[1]):
        answer = step(inputs=tf.constant(inputs[:, time]), **states)
        outputs.append(answer.pop("outputs").numpy())
        assert set(answer) == set(states)
        states = answer
    return np.stack(outputs, axis=1), states


@pytest.mark.parametrize("kind", ["SAMCell", "SDNCCell"])
def test_a_sparse_memory_is_served_whole_and_step_by_step(rng, tmp_path, kind):
    import tensorflow as tf

    sizes = {"controller": 8, "memory_size": 9, "word_size": 4, "num_reads": 2}
    cell = getattr(keras_dnc, kind)(3, **sizes, search="lsh")
    model = chain(keras_dnc.MemoryRNN(cell, return_sequences=True))
    served = signatures(export_for_serving(model, tmp_path))
    inputs = rng.normal(size=(2, 7, 5)).astype("float32")
    whole = served["serving_default"](inputs=tf.constant(inputs))["outputs"]
    assert_close(whole, model.predict(inputs, verbose=0))
    steps, states = step_through(served["step"], inputs)
    assert_close(steps, whole)
    assert states["memory"].shape == (2, 9, 4)


def test_whole_sequences_of_any_batch_and_length(model, rng, tmp_path):
    import tensorflow as tf

    exported = signatures(export_for_serving(model, tmp_path))
    for batch, time in ((1, 1), (3, 8), (33, 2)):
        inputs = rng.normal(size=(batch, time, 5)).astype("float32")
        outputs = exported["serving_default"](inputs=tf.constant(inputs))["outputs"]
        assert_close(outputs.numpy(), model.predict(inputs, verbose=0))


def test_step_by_step_equals_the_whole_sequence(model, rng, tmp_path):
    exported = signatures(export_for_serving(model, tmp_path))
    inputs = rng.normal(size=(3, 6, 5)).astype("float32")
    outputs, _ = step_through(exported["step"], inputs)
    assert_close(outputs, model.predict(inputs, verbose=0))


def test_states_have_the_names_and_shapes_of_the_named_tuples(model, tmp_path):
    step = signatures(export_for_serving(model, tmp_path))["step"]
    shapes = {
        n: tuple(s.shape[1:]) for n, s in step.structured_input_signature[1].items()
    }
    assert shapes == {
        "inputs": (5,),
        "output": (3,),
        "read_words": (2, 4),
        "memory": (7, 4),
        "usage": (7,),
        "link": (1, 7, 7),
        "precedence_weights": (1, 7),
        "read_weights": (2, 7),
        "write_weights": (1, 7),
        "controller_0": (8,),
        "controller_1": (8,),
    }


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.LSTM(4, return_sequences=True), dnc_layer()],
        [keras.layers.GRU(4, return_sequences=True), keras.layers.LayerNormalization()],
        [keras.layers.RNN([dnc_cell(), dnc_cell()], return_sequences=True)],
        [keras_dnc.MemoryRNN(dnc_cell(), recompute=2, return_sequences=True)],
        [keras.layers.Dropout(0.5), dnc_layer(dtype="mixed_bfloat16")],
        [
            keras.layers.RNN(
                dnc_cell(
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
    step = signatures(export_for_serving(model, tmp_path))["step"]
    inputs = rng.normal(size=(3, 4, 5)).astype("float32")
    outputs, _ = step_through(step, inputs)
    assert_close(outputs, model.predict(inputs, verbose=0))


def test_several_recurrent_layers_keep_their_states_apart(tmp_path):
    model = chain(
        keras.layers.LSTM(4, return_sequences=True, name="first"), dnc_layer()
    )
    step = signatures(export_for_serving(model, tmp_path))["step"]
    names = set(step.structured_input_signature[1])
    assert {"first_state_0", "first_state_1", "dnc_memory", "dnc_output"} <= names


def test_a_layer_that_gives_its_last_output_gives_it_at_each_step(rng, tmp_path):
    cell = dnc_cell()
    model = chain(keras.layers.RNN(cell), keras.layers.Dense(2))
    step = signatures(export_for_serving(model, tmp_path))["step"]
    inputs = rng.normal(size=(3, 4, 5)).astype("float32")
    outputs, _ = step_through(step, inputs)
    assert_close(outputs[:, -1], model.predict(inputs, verbose=0))
    assert_close(outputs[:, 1], model.predict(inputs[:, :2], verbose=0))


def test_tokens_and_their_mask_run_step_by_step(rng, tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(9, 4, mask_zero=True)(tokens)
    model = keras.Model(tokens, dnc_layer()(hidden))
    step = signatures(export_for_serving(model, tmp_path))["step"]
    inputs = np.array([[3, 1, 8], [2, 0, 5]], "int32")
    outputs, states = step_through(step, inputs)
    expected = model.predict(inputs, verbose=0)
    assert_close(outputs[inputs > 0], expected[inputs > 0])
    _, unpadded = step_through(step, np.array([[2, 5]], "int32"))
    assert_close(states["memory"][1], unpadded["memory"][0])


@pytest.mark.parametrize("return_sequences", [True, False])
def test_padded_steps_change_nothing_step_by_step(rng, tmp_path, return_sequences):
    layer = keras.layers.RNN(dnc_cell(), return_sequences=return_sequences)
    model = chain(keras.layers.Masking(), layer)
    inputs = rng.normal(size=(3, 5, 5)).astype("float32")
    inputs[0, 3:], inputs[1, 1:] = 0.0, 0.0
    step = signatures(export_for_serving(model, tmp_path))["step"]
    outputs, _ = step_through(step, inputs)
    expected = model.predict(inputs, verbose=0)
    assert_close(outputs if return_sequences else outputs[:, -1], expected)


def test_the_export_runs_where_the_package_was_never_imported(model, rng, tmp_path):
    path = export_for_serving(model, tmp_path / "served")
    inputs = rng.normal(size=(2, 6, 5)).astype("float32")
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "expected.npy", model.predict(inputs, verbose=0))
    files = [str(tmp_path / name) for name in ("inputs.npy", "expected.npy")]
    subprocess.run(
        [sys.executable, "-c", WITHOUT_OUR_CODE, str(path), *files], check=True
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.rnn = dnc_layer()

    def call(self, inputs):
        return self.rnn(inputs)


def subclassed_model():
    model = Subclassed()
    model(np.zeros((2, 4, 5), "float32"))
    return model


def residual_model():
    inputs = keras.Input((None, 3))
    added = keras.layers.Add(name="residual")([inputs, dnc_layer()(inputs)])
    return keras.Model(inputs, added)


def bidirectional_model():
    both = keras.layers.Bidirectional(dnc_layer(), name="both")
    return chain(both)


def pooling_model():
    return chain(dnc_layer(), keras.layers.GlobalAveragePooling1D(name="pool"))


def backwards_model():
    return chain(keras.layers.LSTM(4, go_backwards=True, name="backwards"))


def time_norm_model():
    return keras.Sequential(
        [
            keras.Input((4, 5)),
            keras.layers.LayerNormalization(axis=1, name="over_time"),
            dnc_layer(),
        ]
    )


def two_output_model():
    inputs = keras.Input((None, 5))
    hidden = keras.layers.LSTM(4, return_sequences=True)(inputs)
    last = keras.layers.Dense(2, name="last")(hidden)
    return keras.Model(inputs, [last, hidden])


class LearnedStart(keras.layers.GRUCell):
    def get_initial_state(self, batch_size=None):
        return [keras.ops.full((batch_size, self.units), 0.25)]


def learned_start_model():
    cell = dnc_cell(controller=LearnedStart(6))
    return chain(keras.layers.RNN(cell, return_sequences=True, name="learned"))


def stateless_model():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)], name="flat")


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (two_output_model, "last"),
        (learned_start_model, "learned"),
        (stateless_model, "flat"),
        (residual_model, "residual"),
        (bidirectional_model, "both"),
        (pooling_model, "pool"),
        (backwards_model, "backwards"),
        (time_norm_model, "over_time"),
        (subclassed_model, "subclassed"),
    ],
)
def test_what_is_no_chain_is_exported_without_step_and_named(build, named, tmp_path):
    with pytest.warns(UserWarning, match=f"without the `step` signature.*'{named}'"):
        path = export_for_serving(build(), tmp_path)
    assert set(signatures(path)) == {"serving_default", "keep"}


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


def test_an_existing_version_is_refused(model, tmp_path):
    export_for_serving(model, tmp_path, version=3)
    with pytest.raises(ValueError, match="`version` must be one that does not exist"):
        export_for_serving(model, tmp_path, version=3)


def test_a_stateful_layer_is_refused_and_named(tmp_path):
    inputs = keras.Input(batch_shape=(2, 4, 5))
    model = keras.Model(inputs, dnc_layer(stateful=True)(inputs))
    with pytest.raises(ValueError, match=r"no stateful layer.*\['dnc'\]"):
        export_for_serving(model, tmp_path)


def test_a_stateful_layer_inside_an_inner_model_is_refused(tmp_path):
    inputs = keras.Input(batch_shape=(2, 4, 5))
    inner = keras.Sequential([keras.layers.LSTM(4, stateful=True, name="deep")])
    model = keras.Model(inputs, inner(inputs))
    with pytest.raises(ValueError, match=r"no stateful layer.*'deep'"):
        export_for_serving(model, tmp_path)


@pytest.mark.parametrize("model", [None, "model", keras.Sequential([dnc_layer()])])
def test_what_is_no_built_model_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="`model` must be a Keras model that has been"):
        export_for_serving(model, tmp_path)


def test_a_model_of_two_inputs_is_refused(tmp_path):
    inputs = [keras.Input((None, 5)), keras.Input((None, 5))]
    model = keras.Model(inputs, dnc_layer()(keras.layers.Add()(inputs)))
    with pytest.raises(ValueError, match="`model` must take one input"):
        export_for_serving(model, tmp_path)


def test_warmup_requests_run_against_the_export(model, rng, tmp_path):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    inputs = rng.normal(size=(2, 3, 5))  # float64, as NumPy makes it
    path = export_for_serving(model, tmp_path, warmup=inputs)
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    (record,) = tf.data.TFRecordDataset(str(file))
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    request = log.predict_log.request
    sent = tf.make_ndarray(request.inputs["inputs"])
    np.testing.assert_array_equal(sent, inputs.astype("float32"))
    outputs = signatures(path)[request.model_spec.signature_name](inputs=sent)
    assert outputs["outputs"].shape == (2, 3, 2)


@pytest.mark.parametrize(
    "warmup", [np.zeros((2, 5)), np.zeros((2, 3, 6)), np.full((2, 3, 5), "word")]
)
def test_a_warmup_that_does_not_fit_is_refused_before_anything_is_written(
    model, tmp_path, warmup
):
    with pytest.raises(ValueError, match="`warmup` must"):
        export_for_serving(model, tmp_path, warmup=warmup)
    assert not list(tmp_path.iterdir())
