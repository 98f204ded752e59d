"""A reader of raw text answers as its model does on the whole sequence of tokens."""

import itertools

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.export import ServerError
from keras_dnc.export import StreamingClient
from keras_dnc.saved_models import Reader
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.saved_models.conftest import WORDS

STORY = "Mary went to the kitchen. Mary went to the garden."
QUESTION = "Where is Mary?"


def probabilities(reader):
    """`(time, words)`, of the model on every token that the reader has read."""
    tokens = np.array([reader.vocabulary.encode(reader.tokens)], "int32")
    logits = reader.model(tokens, training=False)
    return to_numpy(keras.ops.softmax(logits))[0].astype("float64")


@pytest.mark.parametrize(
    "parts",
    [[], ["Mary went to the kitchen."], [STORY], STORY.replace(". ", ".|").split("|")],
    ids=["no story", "a sentence", "two sentences", "two calls"],
)
def test_an_answer_is_that_of_the_whole_sequence(reader, parts):
    for text in parts:
        reader.read(text)
    answer = reader.ask(QUESTION)
    expected = probabilities(reader)[-1]
    assert answer.text == reader.vocabulary.words[expected.argmax()]
    assert_close(answer.probability, expected.max(), 1e-4)
    assert_close([chance for _, chance in answer.top], np.sort(expected)[:-4:-1], 1e-4)
    assert answer.top[0] == (answer.text, answer.probability)


def test_the_tokens_are_those_of_the_stories_of_babi(reader):
    reader.read("Mary went to the KITCHEN!.")
    reader.ask(QUESTION)
    assert " ".join(reader.tokens) == "mary went to the kitchen . where is mary ? -"


def test_thinking_steps_stand_before_the_answer(model):
    reader = Reader(model, WORDS, thinking_steps=2)
    reader.ask(QUESTION, answer_words=3)
    assert reader.tokens == ["where", "is", "mary", "?", "_", "_", "-", "-", "-"]


def test_an_answer_of_two_words_is_the_most_probable_pair(reader):
    reader.read(STORY)
    answer = reader.ask(QUESTION, answer_words=2)
    assert reader.tokens[-3:] == ["?", "-", "-"]
    first, second = probabilities(reader)[-2:]
    pairs = {
        f"{reader.vocabulary.words[i]},{reader.vocabulary.words[j]}": p * q
        for (i, p), (j, q) in itertools.product(enumerate(first), enumerate(second))
    }
    expected = sorted(pairs.items(), key=lambda pair: -pair[1])[:3]
    assert [text for text, _ in answer.top] == [text for text, _ in expected]
    assert_close([p for _, p in answer.top], [p for _, p in expected], 1e-4)
    assert answer.text == expected[0][0]


def test_the_story_goes_on_until_it_is_reset(reader):
    fresh = reader.ask(QUESTION)
    reader.reset()
    reader.read(STORY)
    told = reader.ask(QUESTION)
    reader.reset()
    assert reader.tokens == [] and reader.unknown_words == ()
    assert reader.ask(QUESTION) == fresh
    assert told.probability != fresh.probability


def test_unknown_words_are_reported_and_warned_of(reader):
    with pytest.warns(UserWarning, match="know the words bob, took, ball, of: it"):
        found = reader.read("Bob went to the kitchen. Mary took the ball of Bob.")
    assert found == ("bob", "took", "ball", "of")
    assert reader.read(STORY) == ()
    with pytest.warns(UserWarning, match="the words alice"):
        assert reader.ask("Where is Alice?").unknown_words == ("alice",)
    assert reader.ask(QUESTION).unknown_words == ()
    assert reader.unknown_words == ("bob", "took", "ball", "of", "alice")


REFUSED_TEXTS = {
    "no string": 3,
    "nothing": None,
    "empty": "",
    "blank": " \n",
    "no words": ".",
    "no words at its end": "Mary went to the garden..",
    "no end": "Mary went to the garden",
    "no end after a statement": "Mary went to the garden. Mary",
    "a question": QUESTION,
    "a question at its end": f"{STORY} {QUESTION}",
}


@pytest.mark.parametrize("text", REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_read_refuses_what_is_no_statement(reader, text):
    with pytest.raises(ValueError) as caught:
        reader.read(text)
    assert "Argument `text` must be one or more statements" in str(caught.value)
    assert f"Received: text={text!r}" in str(caught.value)
    assert reader.tokens == []


REFUSED_QUESTIONS = {
    "no string": ["Where?"],
    "empty": "",
    "no words": "?",
    "no mark at its end": "Where is Mary",
    "a statement": "Mary went to the garden.",
    "a statement before it": f"{STORY} {QUESTION}",
    "two questions": f"{QUESTION} {QUESTION}",
}


@pytest.mark.parametrize("question", REFUSED_QUESTIONS.values(), ids=REFUSED_QUESTIONS)
def test_ask_refuses_what_is_no_question(reader, question):
    with pytest.raises(ValueError) as caught:
        reader.ask(question)
    assert "Argument `question` must be one question" in str(caught.value)
    assert f"Received: question={question!r}" in str(caught.value)
    assert reader.tokens == []


@pytest.mark.parametrize("mark", ["-", "_"])
def test_marks_of_answers_are_refused(reader, mark):
    for name, call, stop in (("text", reader.read, "."), ("question", reader.ask, "?")):
        with pytest.raises(ValueError, match=f"Argument `{name}` must not .*'{mark}'"):
            call(f"Mary {mark} the garden{stop}")
    assert reader.tokens == []


@pytest.mark.parametrize("count", [0, -1, 1.0, True, "1", None])
def test_the_number_of_answer_words_is_checked(reader, count):
    with pytest.raises(ValueError, match="`answer_words` must be a positive integer"):
        reader.ask(QUESTION, answer_words=count)
    assert reader.tokens == []


def test_a_step_that_fails_leaves_the_story_as_it_was(reader, monkeypatch):
    reader.read(STORY)
    tokens, expected = reader.tokens, reader.ask(QUESTION)
    reader.reset()
    reader.read(STORY)
    step, calls = StreamingClient.step, itertools.count()

    def fails_at_the_third(client, inputs):
        if next(calls) == 2:
            raise ServerError("machine", "is gone")
        return step(client, inputs)

    monkeypatch.setattr(StreamingClient, "step", fails_at_the_third)
    with pytest.raises(ServerError, match="machine: is gone"):
        reader.read(STORY)
    assert reader.tokens == tokens
    assert reader.ask(QUESTION) == expected


@pytest.mark.only("tensorflow", "jax")  # PyTorch runs every step eagerly
def test_texts_of_any_length_are_read_by_one_compiled_step(reader, monkeypatch):
    reader.ask(QUESTION)  # compiles the step, if no test has before
    monkeypatch.delattr(keras_dnc.MemoryCell, "call")  # which tracing needs
    for count in (1, 2, 5):
        reader.reset()
        reader.read(count * STORY)
        reader.ask(QUESTION, answer_words=count)


def test_the_trace_is_of_the_whole_story(reader):
    reader.read("Mary went to the garden.")
    first = reader.trace
    assert first.read_weights.shape == (1, 6, 2, 7)
    assert reader.trace is first
    reader.ask(QUESTION)
    assert reader.trace.memory.shape == (1, len(reader.tokens), 7, 4)
    assert_close(reader.trace.memory[:, :6], first.memory)
    dense = reader.model.layers[-1]
    logits = keras.ops.softmax(dense(reader.trace.output))
    assert_close(to_numpy(logits)[0], probabilities(reader))
    reader.reset()
    reader.read("Mary.")
    assert reader.trace.memory.shape == (1, 2, 7, 4)


def test_a_story_without_words_has_no_trace(reader):
    with pytest.raises(ValueError, match="at least one step.*Received: an empty story"):
        _ = reader.trace


def test_a_client_has_no_trace(model):
    reader = Reader(StreamingClient(model, batch_size=3), WORDS)
    reader.read(STORY)
    with pytest.raises(ValueError, match=r"must be a Keras model.*Received: .*Client"):
        _ = reader.trace


def test_a_client_answers_as_the_model_does(reader, model):
    by_client = Reader(StreamingClient(model), WORDS)
    for one in (reader, by_client):
        one.read(STORY)
    assert by_client.ask(QUESTION) == reader.ask(QUESTION)


@pytest.mark.parametrize("wrong", [None, "babi-dnc", keras.layers.Dense])
def test_what_is_neither_a_model_nor_a_client_is_refused(wrong):
    with pytest.raises(ValueError, match="`model` must be a `keras.Model` or a `Strea"):
        Reader(wrong, WORDS)


@pytest.mark.parametrize("missing", ["-", ".", "?"])
def test_words_without_a_mark_are_refused(model, missing):
    words = [word for word in WORDS if word != missing]
    with pytest.raises(ValueError, match=rf"`words` must have .*\['\{missing}'\]"):
        Reader(model, words)


def test_words_of_another_model_are_refused(model):
    reader = Reader(model, WORDS[:-1])
    with pytest.raises(ValueError, match="a word for each output.*Received: 11 words"):
        reader.ask(QUESTION)
    assert reader.tokens == []


@pytest.mark.parametrize("steps", [-1, 0.5, None])
def test_the_number_of_thinking_steps_is_checked(model, steps):
    with pytest.raises(ValueError, match="`thinking_steps` must be an integer of at"):
        Reader(model, WORDS, thinking_steps=steps)


def test_a_preset_has_its_own_words_and_thinking_steps(reader, folder):
    preset = Reader.from_preset("reads", folder)
    assert preset.vocabulary.words[2:] == WORDS
    assert preset.thinking_steps == 2
    reader.read(STORY)
    preset.read(STORY)
    plain = Reader(preset.model, WORDS)
    plain.read(STORY)
    assert plain.ask(QUESTION) == reader.ask(QUESTION)


def test_a_preset_runs_on_a_client(model, folder):
    client = StreamingClient(model)
    assert Reader.from_preset("reads", folder, client=client).model is client


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("copies", r"`name` must be a model that reads text, one of \['reads'\]"),
        ("sings", r"`name` must be one of \['copies', 'reads'\]"),
        (3, r"`name` must be one of \['copies', 'reads'\]"),
    ],
)
def test_a_preset_that_reads_no_text_is_refused(folder, name, rule):
    with pytest.raises(ValueError, match=f"{rule}. Received: name={name!r}"):
        Reader.from_preset(name, folder)


@pytest.mark.parametrize("content", ["{", "3", "\xff"])
def test_damaged_settings_are_refused_by_name(tmp_path, content):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.keras").touch()
    settings = tmp_path / "mine" / "config.json"
    settings.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=f"a JSON object. Received: {settings}, "):
        Reader.from_preset("mine", tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")
def test_the_pretrained_reader_answers_about_a_story():
    reader = Reader.from_preset("babi-dnc")
    reader.read("Mary went to the kitchen. John went to the garden.")
    answer = reader.ask("Where is Mary?")
    assert answer.text == "kitchen" and answer.probability > 0.9
    reader.read("Mary moved to the office.")
    assert reader.ask("Where is Mary?").text == "office"
    assert reader.ask("Where is John?").text == "garden"
    assert reader.ask("Is John in the garden?").text == "yes"
    assert reader.trace.mask.shape == (1, len(reader.tokens))
