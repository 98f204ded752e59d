"""ProductKeyMemory: exact, blind to padding, trained and saved; SlotUsage."""

import warnings

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import keras_dnc
from keras_dnc import product_key
from keras_dnc.product_key import best_slots
from keras_dnc.product_key import score_all_slots
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

BATCH, TIME, FEATURES, VALUE = 3, 5, 7, 4
ROOT, HEADS, TOP_K, KEY = 9, 2, 3, 8


def memory(**arguments):
    sizes = {"num_heads": HEADS, "top_k": TOP_K, "key_dim": KEY}
    return keras_dnc.ProductKeyMemory(VALUE, ROOT**2, **{**sizes, **arguments})


def inputs_of(rng, *shape):
    return rng.normal(size=shape or (BATCH, TIME, FEATURES)).astype("float32")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    size=st.sampled_from([4, 9]),
    top_k=st.sampled_from([1, 2, 4]),
    draw=st.sampled_from(["normal", "tied"]),
)
def test_the_best_slots_are_those_of_scoring_all(seed, size, top_k, draw):
    rng = np.random.default_rng(seed)
    halves = rng.normal(size=(2, 3, 2, size)).astype("float32")
    if draw == "tied":
        halves = np.round(halves)
    fast, slots = to_numpy(best_slots(halves, top_k))
    plain, plain_slots = to_numpy(score_all_slots(halves, top_k))
    np.testing.assert_array_equal(fast, plain)
    if draw == "normal":
        np.testing.assert_array_equal(slots, plain_slots)
    # Whichever of tied slots is taken, it is one that has this score, taken once.
    scores = halves[:, :, 0, :, None] + halves[:, :, 1, None, :]
    own = np.take_along_axis(scores.reshape(2, 3, -1), slots.astype("int64"), axis=-1)
    np.testing.assert_array_equal(own, fast)
    assert all(len(set(row)) == top_k for row in slots.reshape(-1, top_k).tolist())


@pytest.mark.parametrize("weighting", ["softmax", "relu"])
def test_scoring_all_slots_gives_the_same_outputs_and_gradients(
    weighting, rng, monkeypatch
):
    layer, inputs = memory(weighting=weighting), inputs_of(rng)
    layer.build(inputs.shape)

    def loss():
        return ops.sum(ops.square(layer(inputs, training=True)))

    def compute():
        gradients = value_and_gradients(loss, layer.trainable_variables)[1]
        return to_numpy(layer(inputs)), gradients

    weights = layer.get_weights()
    fast, fast_gradients = compute()
    layer.set_weights(weights)  # the queries' statistics have moved
    monkeypatch.setattr(product_key, "best_slots", score_all_slots)
    plain, plain_gradients = compute()
    np.testing.assert_array_equal(fast, plain)
    for ours, theirs in zip(fast_gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert all(np.max(np.abs(gradient)) > 0.0 for gradient in plain_gradients)


@pytest.mark.parametrize("weighting", ["softmax", "relu"])
def test_it_is_what_the_paper_says(weighting, rng):
    layer, inputs = memory(weighting=weighting), inputs_of(rng)
    outputs = to_numpy(layer(inputs))
    named = {w.name: to_numpy(w.value).astype("float64") for w in layer.weights}
    scale = named["gamma"] / np.sqrt(named["moving_variance"] + 1e-5)
    queries = inputs @ named["kernel"] + named["bias"] - named["moving_mean"]
    queries = queries * scale + named["beta"]
    queries = queries.reshape(BATCH, TIME, HEADS, KEY)
    halves = named["sub_keys"]
    for place in np.ndindex(BATCH, TIME):
        expected = np.zeros(VALUE)
        for head in range(HEADS):
            keys = [  # all of them, each whole: slot i n + j
                np.concatenate([halves[head, 0, i], halves[head, 1, j]])
                for i in range(ROOT)
                for j in range(ROOT)
            ]
            scores = np.array(keys) @ queries[(*place, head)]
            best = np.argsort(-scores)[:TOP_K]
            weights = np.maximum(scores[best], 0.0)
            if weighting == "softmax":
                weights = np.exp(scores[best]) / np.exp(scores[best]).sum()
            expected += weights @ named["values"][best]
        assert_close(outputs[place], expected)


def test_padding_does_not_count_in_the_queries_statistics(rng):
    inputs = inputs_of(rng)
    mask = np.arange(TIME)[None] < np.array([[5], [3], [1]])
    garbage = np.where(mask[..., None], inputs, 1e3).astype("float32")
    layers = [memory(), memory(), memory()]
    for layer in layers:
        layer.build(inputs.shape)
        layer.set_weights(layers[0].get_weights())
    clean = to_numpy(layers[0](inputs, training=True, mask=mask))
    dirty = to_numpy(layers[1](garbage, training=True, mask=mask))
    assert_close(dirty[mask], clean[mask])
    # The same as if there were no padding at all.
    alone = to_numpy(layers[2](inputs[mask], training=True))
    assert_close(clean[mask], alone, 1e-4)
    for ours, theirs in zip(layers[1].weights, layers[2].weights, strict=True):
        assert_close(to_numpy(ours.value), to_numpy(theirs.value), 1e-4, ours.path)
    assert np.any(to_numpy(layers[1].normalization.moving_mean.value))


@pytest.mark.parametrize("training", [False, True])
def test_the_mask_of_a_model_reaches_the_memory_and_goes_on(training):
    tokens = np.array([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0], [1, 2, 3, 4, 5]])
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(inputs)
    outputs = memory()(embedded)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(outputs))
    weights, ends = model.get_weights(), []
    for padded in (tokens, np.pad(tokens, [(0, 0), (0, 4)])):
        model.set_weights(weights)  # in training the queries' statistics move
        ends.append(to_numpy(model(padded, training=training)))
    assert_close(ends[1], ends[0])


def test_without_a_time_axis_it_reads_once_for_each_sample(rng):
    layer, inputs = memory(), inputs_of(rng)
    flat, slots, weights = layer(inputs[:, 0], return_addresses=True)
    assert slots.shape == weights.shape == (BATCH, HEADS, TOP_K)
    assert_close(to_numpy(flat), to_numpy(layer(inputs))[:, 0])


def test_the_slots_and_weights_that_it_gives_are_those_it_reads(rng):
    layer, inputs = memory(), inputs_of(rng)
    outputs, slots, weights = to_numpy(layer(inputs, return_addresses=True))
    assert slots.shape == weights.shape == (BATCH, TIME, HEADS, TOP_K)
    assert_close(weights.sum(-1), np.ones((BATCH, TIME, HEADS)))
    read = to_numpy(layer.values.value)[slots] * weights[..., None]
    assert_close(read.sum((2, 3)), outputs)


def model_of(layer):
    inputs = keras.Input((None, FEATURES))
    hidden = keras.layers.Dense(6, activation="relu")(inputs)
    return keras.Model(inputs, layer(hidden))


def quiet_memory(**arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a backend without sparse gradients says so
        return memory(**arguments)


@pytest.mark.slow
def test_two_optimizers_train_it_and_sparse_gradients_change_nothing(rng):
    if not hasattr(keras.optimizers, "OptimizerMap"):
        pytest.skip("keras.optimizers.OptimizerMap came with keras 3.15")
    inputs, targets = inputs_of(rng), inputs_of(rng, BATCH, TIME, VALUE)
    ends = []
    for sparse_gradient in (False, True):
        keras.utils.set_random_seed(0)
        model = model_of(quiet_memory(sparse_gradient=sparse_gradient))
        by_variable = keras.optimizers.OptimizerMap(keras.optimizers.Adam(1e-3))
        by_variable[".*/values"] = keras_dnc.SparseAdam(1e-1)
        optimizer = keras.optimizers.MultiOptimizer(by_variable)
        jit_compile = keras.backend.backend() != "torch"
        model.compile(optimizer, "mse", jit_compile=jit_compile)
        before = to_numpy(model.layers[-1].values.value)
        fitted = model.fit(inputs, targets, batch_size=BATCH, epochs=6, verbose=0)
        losses = fitted.history["loss"]
        assert losses[-1] < losses[0]
        change = np.abs(to_numpy(model.layers[-1].values.value) - before).max(-1)
        assert 0.05 < change.max() < 0.7 and np.any(change == 0.0)
        ends.append([losses, model.predict(inputs, verbose=0)])
    assert_close(ends[1][0], ends[0][0], 1e-4)
    assert_close(ends[1][1], ends[0][1], 1e-4)


@pytest.mark.only("jax")
def test_a_backend_without_sparse_gradients_says_so():
    with pytest.warns(UserWarning, match="`sparse_gradient` has no effect"):
        memory(sparse_gradient=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_keeps_the_table_whole(dtype, rng):
    layer = memory(dtype=dtype)
    model = model_of(layer)
    inputs, targets = inputs_of(rng), inputs_of(rng, BATCH, TIME, VALUE)
    outputs = layer(inputs_of(rng, BATCH, TIME, 6))
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    assert layer.values.dtype == "float32"
    whole = memory()
    whole.build((BATCH, TIME, 6))
    whole.set_weights(layer.get_weights())
    sample = np.round(inputs_of(rng, BATCH, TIME, 6), 1)
    chosen = [to_numpy(one(sample, return_addresses=True)[1]) for one in (layer, whole)]
    assert np.mean(chosen[0] == chosen[1]) > 0.8
    optimizer = keras.optimizers.Adam(1e-2)
    if dtype == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "mse")
    losses = model.fit(inputs, targets, epochs=8, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]


@pytest.mark.parametrize("query_normalization", [True, False])
def test_a_keras_file_gives_it_back(query_normalization, rng, tmp_path):
    arguments = {"weighting": "relu", "query_normalization": query_normalization}
    model = model_of(quiet_memory(sparse_gradient=True, **arguments))
    inputs = inputs_of(rng)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    assert_close(loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0))


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_it_is_exported_for_any_batch_and_length(rng, tmp_path):
    import tensorflow as tf

    model = model_of(memory())
    model.export(tmp_path / "export", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "export"))
    for shape in ((1, 9, FEATURES), (4, 2, FEATURES)):
        inputs = inputs_of(rng, *shape)
        answer = served.serve(tf.constant(inputs)).numpy()
        assert_close(answer, model.predict(inputs, verbose=0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"value_dim": 0}, "`value_dim` must be a positive integer"),
        ({"num_slots": 80}, "`num_slots` must be a square, such as 64 or 81"),
        ({"num_slots": -4}, "`num_slots` must be a positive integer"),
        ({"top_k": 10}, "`top_k` must be at most the square root of `num_slots`, 9"),
        ({"top_k": 0}, "`top_k` must be a positive integer"),
        ({"key_dim": 7}, "`key_dim` must be even"),
        ({"num_heads": 1.5}, "`num_heads` must be a positive integer"),
        ({"weighting": "tanh"}, "`weighting` must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    sizes = {"value_dim": 4, "num_slots": 81, "top_k": 3, "key_dim": 8}
    with pytest.raises(ValueError, match=words):
        keras_dnc.ProductKeyMemory(**{**sizes, **arguments})


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 7)])
def test_inputs_of_another_rank_are_refused(shape, rng):
    with pytest.raises(ValueError, match="`inputs` must have shape"):
        memory()(inputs_of(rng, *shape))


def test_usage_counts_slots_and_how_evenly_they_serve():
    usage = keras_dnc.SlotUsage(num_slots=8)
    usage.update_state([[[0, 1]], [[2, 3]]], [[[0.5, 0.5]], [[0.5, 0.5]]])
    result = to_numpy(usage.result())
    assert result["fraction_used"] == pytest.approx(0.5)
    assert result["kl_from_uniform"] == pytest.approx(np.log(2.0), rel=1e-5)
    usage.update_state([[[0, 0]]], [[[6.0, 0.0]]])
    share = np.array([6.5, 0.5, 0.5, 0.5]) / 8.0
    expected = np.log(8) + np.sum(share * np.log(share))
    assert to_numpy(usage.result())["kl_from_uniform"] == pytest.approx(expected, 1e-5)


def test_usage_leaves_padding_out_and_begins_with_nothing():
    usage = keras_dnc.SlotUsage(num_slots=4)
    assert to_numpy(usage.result()) == {"fraction_used": 0.0, "kl_from_uniform": 0.0}
    slots, weights = [[[[0, 1]], [[2, 3]]]], np.full((1, 2, 1, 2), 0.5)
    usage.update_state(slots, weights, mask=[[True, False]])
    assert to_numpy(usage.result())["fraction_used"] == 0.5
    usage.reset_state()
    assert to_numpy(usage.result())["fraction_used"] == 0.0
    with pytest.raises(ValueError, match="`weights` must have shape"):
        usage.update_state(slots, weights[:, :1])


def test_queries_are_normalized_as_in_the_authors_code():
    layer = keras_dnc.ProductKeyMemory(3, num_slots=64, top_k=3, key_dim=8)
    layer.build((None, 5))
    assert layer.normalization.momentum == 0.9
    assert layer.normalization.epsilon == 1e-5


def test_a_config_of_version_0_1_keeps_the_numbers_of_kerass_batch_normalization():
    config = keras_dnc.ProductKeyMemory(3).get_config()
    del config["normalization_momentum"], config["normalization_epsilon"]
    old = keras_dnc.ProductKeyMemory.from_config(config)
    assert (old.normalization_momentum, old.normalization_epsilon) == (0.99, 1e-3)
