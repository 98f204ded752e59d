"""MemN2N: equal to the paper's equations, blind to padding, trained and saved."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.memn2n import sentence_ages
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

VOCABULARY, DIM, AGES = 11, 6, 4
STORY = np.array(
    [
        [[1, 2, 3], [4, 5, 0], [2, 2, 6], [7, 0, 0], [9, 8, 1]],
        [[3, 1, 0], [8, 9, 10], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ],
    "int32",
)
QUESTION = np.array([[5, 6, 7, 8], [2, 1, 0, 0]], "int32")


def network(**arguments):
    """A network that has seen its inputs, with weights far from symmetric."""
    sizes = {"embedding_dim": DIM, "memory_size": AGES, "num_hops": 3}
    layer = keras_dnc.MemN2N(VOCABULARY, **{**sizes, **arguments})
    layer.build(STORY.shape, QUESTION.shape)
    rng = np.random.default_rng(3)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return layer


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64"])
def test_words_may_be_integers_of_any_size(dtype):
    layer = network()
    answer = layer(STORY.astype(dtype), QUESTION.astype(dtype))
    assert_close(to_numpy(answer), to_numpy(layer(STORY, QUESTION)))


def oracle_sentence(words, table, position_encoding):
    """m = sum_j l_j * A x_j over the words that are there (section 4.1)."""
    words = [word for word in words if word != 0]
    total = np.zeros(DIM)
    for j, word in enumerate(words, 1):
        for k in range(1, DIM + 1):
            share = j / len(words)
            weight = (1 - share) - (k / DIM) * (1 - 2 * share)
            total[k - 1] += (weight if position_encoding else 1.0) * table[word, k - 1]
    return total


def oracle(layer, story, question, activation=lambda u: u, linear=False):
    """Equations 1 to 4 in float64, one story at a time."""
    weights = {w.name: to_numpy(w.value).astype("float64") for w in layer.weights}
    tables = np.moveaxis(weights["embeddings"], 1, 0)
    adjacent = layer.weight_sharing == "adjacent"
    asked = tables[0] if adjacent else weights["question_embeddings"]
    state = oracle_sentence(question, asked, layer.position_encoding)
    story = [sentence for sentence in story if any(sentence)]
    read_weights = np.zeros((layer.num_hops, len(story)))
    for hop in range(layer.num_hops):
        places = (hop, hop + 1) if adjacent else (0, 1)
        sides = []
        for place in places:
            rows = []
            for age, sentence in zip(range(len(story))[::-1], story, strict=True):
                row = oracle_sentence(sentence, tables[place], layer.position_encoding)
                if layer.temporal_encoding:
                    row = row + weights["times"][min(age, AGES - 1), place]
                rows.append(row)
            sides.append(np.array(rows))
        scores = sides[0] @ state
        shares = scores if linear else np.exp(scores) / np.exp(scores).sum()
        read_weights[hop] = shares
        passed_on = state if adjacent else state @ weights["hop_kernel"]
        state = activation(passed_on + shares @ sides[1])
    answers = tables[layer.num_hops] if adjacent else weights["answer_embeddings"]
    return answers @ state, read_weights


def check_against_oracle(layer, **arguments):
    logits, shares = layer(STORY, QUESTION, return_read_weights=True)
    for row, (story, question) in enumerate(zip(STORY, QUESTION, strict=True)):
        expected, expected_shares = oracle(layer, story, question, **arguments)
        assert_close(to_numpy(logits)[row], expected)
        there = expected_shares.shape[1]
        assert_close(to_numpy(shares)[row, :, :there], expected_shares)
        assert not np.any(to_numpy(shares)[row, :, there:])


@pytest.mark.parametrize("weight_sharing", ["adjacent", "layerwise"])
@pytest.mark.parametrize("num_hops", [1, 3])
@pytest.mark.parametrize("position_encoding", [True, False])
def test_it_is_what_the_paper_says(weight_sharing, num_hops, position_encoding):
    check_against_oracle(
        network(
            weight_sharing=weight_sharing,
            num_hops=num_hops,
            position_encoding=position_encoding,
        )
    )


@pytest.mark.only("tensorflow")  # JAX needs a switch of the process, PyTorch has none
def test_it_is_what_the_paper_says_in_float64():
    layer = network(dtype="float64")
    logits = layer(STORY, QUESTION)
    expected, _ = oracle(layer, STORY[0], QUESTION[0])
    assert_close(to_numpy(logits)[0], expected, 1e-12)


def test_it_is_what_the_paper_says_without_time():
    check_against_oracle(network(temporal_encoding=False))


def test_it_is_what_the_paper_says_with_relu_after_each_hop():
    layer = network(weight_sharing="layerwise", hop_activation="relu")
    check_against_oracle(layer, activation=lambda u: np.maximum(u, 0.0))


def test_a_linear_start_leaves_the_softmax_out_until_it_is_put_in():
    layer = network(linear_start=True)
    assert layer.is_linear
    check_against_oracle(layer, linear=True)
    layer.insert_softmax()
    assert not layer.is_linear
    check_against_oracle(layer)


@pytest.mark.parametrize("weight_sharing", ["adjacent", "layerwise"])
def test_gradients_are_those_of_the_paper(weight_sharing):
    layer = network(weight_sharing=weight_sharing, hop_activation="tanh")
    weighting = np.random.default_rng(5).normal(size=(2, VOCABULARY))

    def loss():
        return ops.sum(layer(STORY, QUESTION) * ops.cast(weighting, "float32"))

    def oracle_loss():
        pairs = zip(STORY, QUESTION, strict=True)
        rows = [oracle(layer, *pair, activation=np.tanh)[0] for pair in pairs]
        return np.sum(np.array(rows) * weighting)

    _, gradients = value_and_gradients(loss, layer.trainable_variables)
    for weight, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert np.max(np.abs(gradient)) > 0.0
        direction = np.random.default_rng(6).normal(size=weight.shape)
        start, sides = to_numpy(weight.value), []
        for step in (1e-3, -1e-3):
            weight.assign(start + step * direction)
            sides.append(oracle_loss())
        weight.assign(start)
        slope = (sides[0] - sides[1]) / 2e-3
        allowed = 1e-3 * float(np.linalg.norm(gradient))
        assert slope == pytest.approx(np.sum(gradient * direction), abs=allowed)


@pytest.mark.parametrize("linear_start", [True, False])
def test_padding_is_not_seen(linear_start):
    layer = network(linear_start=linear_start)
    padded = np.zeros((2, 9, 6), "int32")
    # Words slide to the right, sentences down with a gap; the order stays.
    padded[:, 1:4, 2:5], padded[:, 6:8, 2:5] = STORY[:, :3], STORY[:, 3:]
    asked = np.concatenate([np.zeros((2, 2), "int32"), QUESTION], axis=1)
    assert_close(to_numpy(layer(padded, asked)), to_numpy(layer(STORY, QUESTION)))


def test_a_story_without_sentences_reads_nothing():
    layer = network()
    none = np.zeros((2, 3, 4), "int32")
    logits, shares = layer(none, QUESTION, return_read_weights=True)
    assert not np.any(to_numpy(shares))
    question = oracle_sentence(
        QUESTION[0], to_numpy(layer.embeddings.value)[:, 0], position_encoding=True
    )
    assert_close(
        to_numpy(logits)[0], to_numpy(layer.embeddings.value)[:, -1] @ question
    )


def test_ages_count_back_from_the_newest_sentence():
    present = np.array([[1, 1, 1, 0], [1, 0, 1, 1]], "int32")
    blanks = np.array([[0, 1, 0, 0], [1, 0, 0, 1]], "int32")
    present, blanks = map(ops.convert_to_tensor, (present, blanks))
    assert to_numpy(sentence_ages(present, 0 * blanks)).tolist() == [
        [2, 1, 0, 0],
        [2, 2, 1, 0],
    ]
    ages = to_numpy(sentence_ages(present, blanks))
    # An empty memory stands after the second sentence: it and the first are older.
    assert ages[0, :3].tolist() == [3, 2, 0]
    assert ages[1].tolist() == [4, 3, 2, 1]


def test_noise_makes_sentences_older_in_training_alone():
    layer = network(num_hops=1, time_noise=0.5, memory_size=50)
    calm = to_numpy(layer(STORY, QUESTION))
    assert_close(to_numpy(layer(STORY, QUESTION, training=False)), calm)
    noisy = [to_numpy(layer(STORY, QUESTION, training=True)) for _ in range(5)]
    assert np.max(np.abs(noisy - calm)) > 1e-3
    quiet = network(num_hops=1, time_noise=0.0, memory_size=50)
    assert_close(
        to_numpy(quiet(STORY, QUESTION, training=True)),
        to_numpy(quiet(STORY, QUESTION)),
    )


def model_of(**arguments):
    sentences = keras.Input((None, None), dtype="int32", name="sentences")
    question = keras.Input((None,), dtype="int32", name="question")
    network = keras_dnc.MemN2N(VOCABULARY, embedding_dim=DIM, **arguments)
    inputs = {"sentences": sentences, "question": question}
    return keras.Model(inputs, network(sentences, question))


INPUTS = {"sentences": STORY, "question": QUESTION}
ANSWERS = np.array([9, 10])


def fit(model, epochs, callbacks=()):
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    fitted = model.fit(
        INPUTS,
        ANSWERS,
        validation_data=(INPUTS, ANSWERS),
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )
    return fitted.history["val_loss"]


@pytest.mark.slow
def test_training_ends_its_linear_start_and_goes_on(tmp_path):
    model = model_of(linear_start=True)
    layer = model.layers[-1]
    fit(model, 3, [keras_dnc.LinearStart(patience=3)])
    assert layer.is_linear
    losses = fit(model, 12, [keras_dnc.LinearStart(max_epochs=4)])
    assert not layer.is_linear
    assert losses[-1] < losses[4] < 3.0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.layers[-1].is_linear
    assert_close(loaded.predict(INPUTS, verbose=0), model.predict(INPUTS, verbose=0))


@pytest.mark.parametrize("higher", [2.5, np.nan])
def test_the_softmax_goes_in_when_the_loss_no_longer_falls(higher):
    callback = keras_dnc.LinearStart(patience=2)
    model = model_of(linear_start=True)
    callback.set_model(model)
    callback.on_train_begin()
    still_linear = []
    for epoch, loss in enumerate([3.0, 2.0, higher, 1.9, 1.95, 1.9]):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        still_linear.append(model.layers[-1].is_linear)
    assert still_linear == [True] * 5 + [False]


def test_linear_start_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="needs a model that holds a `MemN2N`"):
        fit(model_of(), 1, [keras_dnc.LinearStart()])
    with pytest.raises(ValueError, match="`monitor` must name an entry"):
        fit(model_of(linear_start=True), 1, [keras_dnc.LinearStart(monitor="f1")])
    with pytest.raises(ValueError, match="`patience` must be a positive integer"):
        keras_dnc.LinearStart(patience=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_stays_near(dtype):
    model = model_of(dtype=dtype, weight_sharing="layerwise", hop_activation="relu")
    full = model_of(weight_sharing="layerwise", hop_activation="relu")
    full.set_weights(model.get_weights())
    expected = full.predict(INPUTS, verbose=0)
    actual = model.predict(INPUTS, verbose=0).astype("float32")
    np.testing.assert_allclose(actual, expected, atol=0.02)
    losses = fit(model, 8)
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_gradients_of_frequent_words_add_up_in_mixed_precision(dtype):
    story = np.full((40, 50, 8), 3, "int32")
    gradients = []
    for policy in (dtype, "float32"):
        layer = network(dtype=policy)

        def loss(layer=layer):
            return ops.sum(ops.cast(layer(story, story[:, 0, :4]), "float32"))

        gradients.append(value_and_gradients(loss, [layer.embeddings])[1][0][3])
    assert_close(gradients[0], gradients[1], 0.05)


def test_every_argument_is_in_the_config():
    layer = keras_dnc.MemN2N(
        VOCABULARY,
        embedding_dim=5,
        num_hops=2,
        memory_size=7,
        weight_sharing="layerwise",
        position_encoding=False,
        temporal_encoding=False,
        time_noise=0.3,
        hop_activation="relu",
        linear_start=True,
        seed=4,
    )
    again = keras_dnc.MemN2N.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.is_linear and again.seed == 4 and again.time_noise == 0.3
    assert again.weight_sharing == "layerwise" and not again.position_encoding


def test_a_tenth_of_the_sentences_have_an_empty_memory_after_them():
    layer = network(time_noise=0.1, seed=8)
    present = ops.ones((100, 100), dtype="int32")
    blanks = to_numpy(layer._blanks(present, training=True))
    assert 0.08 < blanks.mean() < 0.12
    other = network(time_noise=0.1, seed=8)
    np.testing.assert_array_equal(blanks, to_numpy(other._blanks(present, True)))


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_it_is_exported_for_any_batch_and_length(tmp_path):
    import tensorflow as tf

    model = model_of(linear_start=True)
    model.export(tmp_path / "export", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "export"))
    longer = {
        "sentences": np.tile(STORY, (2, 3, 1)),
        "question": QUESTION[[0, 1, 1, 0]],
    }
    for inputs in (INPUTS, longer):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        answer = served.serve(tensors).numpy()
        assert_close(answer, model.predict(inputs, verbose=0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` must be a positive integer"),
        ({"embedding_dim": 2.5}, "`embedding_dim` must be a positive integer"),
        ({"num_hops": 0}, "`num_hops` must be a positive integer"),
        ({"memory_size": -1}, "`memory_size` must be a positive integer"),
        ({"weight_sharing": "rnn"}, "`weight_sharing` must be one of"),
        ({"time_noise": 1.0}, "`time_noise` must be at least 0 and below 1"),
        ({"time_noise": "a"}, "`time_noise` must be at least 0 and below 1"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        keras_dnc.MemN2N(**{"vocabulary_size": 5, **arguments})


@pytest.mark.parametrize(
    ("story", "question", "words"),
    [
        (STORY[0], QUESTION, r"`sentences` must have shape \(batch, sentences, words"),
        (STORY, QUESTION[0], r"`question` must have shape \(batch, words\)"),
        (STORY.astype("float32"), QUESTION, "`sentences` must hold integers"),
        (STORY, QUESTION.astype("float32"), "`question` must hold integers"),
    ],
)
def test_bad_inputs_are_named(story, question, words):
    with pytest.raises(ValueError, match=words):
        network()(story, question)
