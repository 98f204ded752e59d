"""A pretrained model that reads raw text word by word and answers questions about it.

The text is encoded as the stories of `keras_dnc.tasks.babi.encoding`: words in lower
case, `.` and `?` as tokens, and one `-` after a question for each word of its answer.
"""

import json
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import tree

from keras_dnc.arguments import positive_integer
from keras_dnc.export import StreamingClient
from keras_dnc.inspect.trace import Trace
from keras_dnc.inspect.trace import trace as trace_of
from keras_dnc.saved_models.catalogue import available
from keras_dnc.saved_models.catalogue import folder_of
from keras_dnc.saved_models.catalogue import load
from keras_dnc.tasks.babi.encoding import ANSWER
from keras_dnc.tasks.babi.encoding import BLANK
from keras_dnc.tasks.babi.encoding import Vocabulary
from keras_dnc.tasks.babi.encoding import check_thinking_steps
from keras_dnc.tasks.babi.encoding import tokenize

_STOPS = (".", "?")
_MARKS = (ANSWER, BLANK)  # tokens that the reader inserts itself
_TOP = 3  # answers that `Answer.top` holds


class Answer(NamedTuple):
    """An answer to a question, with its probability.

    Attributes:
        text: The most probable answer. Several words are joined by commas, as in the
            files of bAbI.
        probability: Probability of the answer; of several words, the product of the
            probabilities of the words.
        top: The three most probable answers, `((text, probability), ...)` in falling
            order. The first is the answer itself.
        unknown_words: Words of the question that the model does not know, each once.

    Example:
        >>> answer = Answer("milk,apple", 0.81, (("milk,apple", 0.81),), ())
        >>> answer.text.split(",")
        ['milk', 'apple']
    """

    text: str
    probability: float
    top: tuple[tuple[str, float], ...]
    unknown_words: tuple[str, ...]


class Reader:
    """Read a story as raw text, and answer questions about it.

    The model reads one token per step and keeps its state between the calls, so that a
    story may be read in any number of parts, with questions in between. The step is
    compiled once, whatever the length of the texts.

    A word that the model does not know is encoded as the unknown word, and reported. If
    a step fails, the story is as it was before the call.

    Args:
        model: `keras.Model` that maps token indices `(batch, time)` to logits
            `(batch, time, len(words) + 2)` and can run step by step; or a
            `keras_dnc.export.StreamingClient` of such a model, of which the reader
            resets the state.
        words: The words of the model in the order of their indices, without padding and
            the unknown word. `.`, `?` and `-` must be among them.
        thinking_steps: Number of blanks `_` between a question and its answer, at least
            0. Defaults to 0.

    Attributes:
        model: The model or the client.
        vocabulary: `keras_dnc.tasks.babi.Vocabulary` of the words.
        thinking_steps: Number of blanks between a question and its answer.

    Raises:
        ValueError: If `model` is neither a model that can run step by step nor a
            client, a word is not a string or occurs twice, a mark is missing from
            `words`, or `thinking_steps` is not an integer of at least 0.

    Example:
        ```python
        from keras_dnc.saved_models import Reader

        reader = Reader.from_preset("babi-dnc")
        reader.read("Mary went to the kitchen. John went to the garden.")
        reader.ask("Where is Mary?").text  # "kitchen"
        ```

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory.
        - Weston et al. 2015, Towards AI-complete question answering.
    """

    def __init__(
        self,
        model: keras.Model | StreamingClient,
        words: Iterable[str],
        thinking_steps: int = 0,
    ) -> None:
        self.model = model
        self.vocabulary = Vocabulary(words)
        if missing := sorted({*_STOPS, ANSWER} - {*self.vocabulary.words}):
            raise ValueError(
                "Argument `words` must have '.', '?' and '-'. "
                f"Received: {len(self.vocabulary) - 2} words without {missing}"
            )
        check_thinking_steps(thinking_steps, self.vocabulary)
        self.thinking_steps = thinking_steps
        self._client = _client_of(model)
        self._tokens: list[str] = []
        self._trace: Trace | None = None
        self.reset()

    @classmethod
    def from_preset(
        cls,
        name: str,
        folder: str | os.PathLike[str] | None = None,
        client: StreamingClient | None = None,
    ) -> "Reader":
        """Build a reader from a pretrained model.

        Args:
            name: Name of the model, one of `keras_dnc.saved_models.available(folder)`.
            folder: Path of a folder of models, such as `saved_models` of a clone, or
                `None` for the models of the package. Defaults to `None`.
            client: `keras_dnc.export.StreamingClient` of a server that runs the model,
                or `None` to run it in this process. Defaults to `None`.

        Returns:
            `Reader`.

        Raises:
            FileNotFoundError: If the folder does not exist or has no model.
            ValueError: If there is no model of this name, or it does not read text.

        Example:
            ```python
            reader = Reader.from_preset("babi-dnc")
            client = StreamingClient("http://localhost:8501/v1/models/babi-dnc")
            reader = Reader.from_preset("babi-dnc", client=client)
            ```
        """
        config = _config_of(name, folder)
        if "words" not in config:
            raise ValueError(
                f"Argument `name` must be a model that reads text, one of "
                f"{text_models(folder)}. Received: name={name!r}"
            )
        model = load(name, folder).model if client is None else client
        return cls(model, config["words"], config.get("thinking_steps", 0))

    @property
    def tokens(self) -> list[str]:
        """Every token read in the current story, in order, with the marks `-` and `_`.

        Example:
            ```python
            plots.plot_read_weights(reader.trace, labels=reader.tokens)
            ```
        """
        return list(self._tokens)

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words of the current story that the model does not know, each once."""
        return self._unknown(self._tokens)

    @property
    def trace(self) -> Trace:
        """`keras_dnc.inspect.trace.Trace` of the current story, a batch of one.

        The trace has one step per entry of `tokens`. It is recorded on first use, by
        running the model over the whole story again.

        Raises:
            ValueError: If nothing has been read yet, or the reader has a client, since
                a served model does not return its controls.
        """
        if not isinstance(self.model, keras.Model):
            raise ValueError(
                "Argument `model` of the reader must be a Keras model for a trace: a "
                f"served model does not return its controls. Received: {self.model!r}"
            )
        if not self._tokens:
            raise ValueError(
                "A trace must have at least one step: call `read` or `ask` first. "
                "Received: an empty story"
            )
        if self._trace is None:
            tokens = np.array([self.vocabulary.encode(self._tokens)], "int32")
            # A loaded model may take a list of one input, and warns of another form.
            inputs = tree.pack_sequence_as(self.model.input, [tokens])
            self._trace = trace_of(self.model, inputs)
        return self._trace

    def reset(self) -> None:
        """Start a new story from the initial state.

        Example:
            ```python
            reader.read("Mary went to the kitchen.")
            reader.reset()
            reader.tokens  # []
            ```
        """
        self._client.reset(batch_size=1)
        self._tokens, self._trace = [], None

    def read(self, text: str) -> tuple[str, ...]:
        """Read one or more statements.

        Args:
            text: Statements, each ending with `.`.

        Returns:
            Words of the text that the model does not know, each once.

        Raises:
            ValueError: If `text` is not a string, is empty, does not end with `.`, or
                has a question, a sentence without words, or the words `-` or `_`.

        Example:
            ```python
            reader.read("Mary went to the moon. John took the milk.")  # ("moon",)
            ```
        """
        sentences = sentences_of(text) if isinstance(text, str) else []
        if not sentences or not all(_is_sentence(words, ".") for words in sentences):
            raise ValueError(
                "Argument `text` must be one or more statements, each of words and a "
                f"`.` at its end; pass questions to `ask`. Received: text={text!r}"
            )
        tokens = [word for words in sentences for word in words]
        _check_marks("text", text, tokens)
        self._advance(tokens)
        return self._warn_of(tokens)

    def ask(self, question: str, answer_words: int = 1) -> Answer:
        """Read a question and answer it.

        The question and its answer become a part of the story, as in bAbI.

        Args:
            question: One question that ends with `?`.
            answer_words: Number of words of the answer, at least 1. A model of bAbI
                answers one word at each `-`, and learned how many words follow from the
                data: two moves in task 19, as many objects as are carried in task 8.
                Defaults to 1.

        Returns:
            `Answer` with the fields `text`, `probability`, `top` and `unknown_words`.

        Raises:
            ValueError: If `question` is not a string, is empty, does not end with `?`,
                is more than one sentence, or has the words `-` or `_`; if
                `answer_words` is not a positive integer; or if the model has another
                number of outputs than the vocabulary has words.

        Example:
            ```python
            answer = reader.ask("Where is Mary?")
            answer.text, answer.probability, answer.top
            ```
        """
        count = positive_integer("answer_words", answer_words)
        sentences = sentences_of(question) if isinstance(question, str) else []
        if len(sentences) != 1 or not _is_sentence(sentences[0], "?"):
            raise ValueError(
                "Argument `question` must be one question, of words and a `?` at its "
                f"end; pass statements to `read`. Received: question={question!r}"
            )
        (words,) = sentences
        _check_marks("question", question, words)
        blanks = [BLANK] * self.thinking_steps
        logits = self._advance([*words, *blanks, *[ANSWER] * count])
        top = _most_probable(logits[-count:], self.vocabulary.words)
        return Answer(*top[0], top, self._warn_of(words))

    def _advance(self, tokens: Sequence[str]) -> list[np.ndarray]:
        """Read tokens; return the logits `(words,)` at each, or restore the state."""
        before = self._client.state
        try:
            logits = [self._step(number) for number in self.vocabulary.encode(tokens)]
        except BaseException:  # an interrupt, too, must not leave half a sentence
            self._client.state = before
            raise
        self._tokens += tokens
        self._trace = None
        return logits

    def _step(self, number: int) -> np.ndarray:
        """Read one token; return the logits `(words,)`."""
        (logits,) = self._client.step(np.array([number], "int32"))
        if logits.shape != (len(self.vocabulary),):
            raise ValueError(
                f"Argument `words` must have a word for each output of the model but "
                f"the first two. Received: {len(self.vocabulary) - 2} words, and a "
                f"model with outputs of shape {logits.shape}"
            )
        return logits

    def _warn_of(self, tokens: Sequence[str]) -> tuple[str, ...]:
        """Return the tokens that the model does not know, and warn of them."""
        unknown = self._unknown(tokens)
        if unknown:
            warnings.warn(
                f"The model does not know the words {', '.join(unknown)}: it reads "
                "each as the unknown word, and its answers may mean nothing. "
                "`reader.vocabulary.words` lists those it knows.",
                stacklevel=3,
            )
        return unknown

    def _unknown(self, tokens: Iterable[str]) -> tuple[str, ...]:
        """Return the tokens that the model does not know, each once."""
        known = {*self.vocabulary.words}
        return tuple(word for word in dict.fromkeys(tokens) if word not in known)


def _client_of(model: Any) -> StreamingClient:
    """Return the client that steps through a model."""
    if isinstance(model, StreamingClient):
        return model
    if not isinstance(model, keras.Model):
        raise ValueError(
            "Argument `model` must be a `keras.Model` or a `StreamingClient`. "
            f"Received: model={model!r}"
        )
    return StreamingClient(model)


def _config_of(name: str, folder: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return the settings of a pretrained model; an empty dict if it has none."""
    file = folder_of(name, folder) / "config.json"
    if not file.exists():
        return {}
    try:
        return {**json.loads(file.read_text(encoding="utf-8"))}
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The file `config.json` of a model must hold a JSON object. "
            f"Received: {file}, {error}"
        ) from error


def text_models(folder: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the pretrained models that read text.

    Args:
        folder: Path of a folder of models, such as `saved_models` of a clone, or `None`
            for the models of the package. Defaults to `None`.

    Returns:
        Sorted list of names.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.

    Example:
        >>> text_models()
        ['babi-dnc']
    """
    return [name for name in available(folder) if "words" in _config_of(name, folder)]


def sentences_of(text: str) -> list[list[str]]:
    """Split a text into tokens, sentence by sentence.

    Args:
        text: Any text.

    Returns:
        List of sentences, each a list of tokens. All but the last end with `.` or `?`.

    Example:
        >>> sentences_of("Mary went home. Where is Mary?")
        [['mary', 'went', 'home', '.'], ['where', 'is', 'mary', '?']]
    """
    sentences: list[list[str]] = [[]]
    for token in tokenize(text):
        sentences[-1].append(token)
        if token in _STOPS:
            sentences.append([])
    return [words for words in sentences if words]


def _is_sentence(words: Sequence[str], stop: str) -> bool:
    """Return whether tokens are words with a certain stop at their end."""
    return len(words) > 1 and words[-1] == stop


def _check_marks(name: str, text: str, tokens: Iterable[str]) -> None:
    """Raise an error if a text has the marks that the reader inserts itself."""
    if found := sorted({*_MARKS} & {*tokens}):
        raise ValueError(
            f"Argument `{name}` must not have the words {found}, which mark answers. "
            f"Received: {name}={text!r}"
        )


def _most_probable(
    logits: Iterable[np.ndarray], words: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """Return the most probable answers, best first, each with its probability.

    Args:
        logits: `(words,)` for each word of the answer. The model does not read its own
            answers, so that the words are independent of each other.
        words: Word of each index.
    """
    best: list[tuple[str, float]] = [("", 1.0)]
    for row in logits:
        probabilities = _softmax(row)
        places = np.argsort(-probabilities, kind="stable")[:_TOP]
        longer = [
            (
                ",".join(filter(None, (text, words[place]))),
                chance * float(probabilities[place]),
            )
            for text, chance in best
            for place in places
        ]
        best = sorted(longer, key=lambda answer: -answer[1])[:_TOP]
    return tuple(best)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the softmax of logits `(words,)` in float64."""
    shifted = np.exp(logits.astype("float64") - np.max(logits))
    return shifted / np.sum(shifted)
