"""Stories of the TensorFlow dataset `babi`, encoded inside a `tf.data` pipeline."""

from collections.abc import Callable
from typing import Any

from keras_dnc.tasks.babi.encoding import ANSWER
from keras_dnc.tasks.babi.encoding import BLANK
from keras_dnc.tasks.babi.encoding import UNKNOWN
from keras_dnc.tasks.babi.encoding import Vocabulary
from keras_dnc.tasks.babi.encoding import check_thinking_steps


def story_encoder(
    vocabulary: Vocabulary, thinking_steps: int = 0
) -> Callable[[dict[str, Any]], tuple[Any, Any, Any]]:
    """Build a function for `tf.data.Dataset.map` that encodes one story.

    The function takes an example of `tfds.load("babi/...")` and returns
    `(tokens, targets, weights)`, each `(time,)`: the fields of the `EncodedStory` that
    `encode_story` returns. It needs TensorFlow.

    Args:
        vocabulary: `Vocabulary`, such as `Vocabulary.from_stories` builds.
        thinking_steps: Number of blanks between each question and its answer, at least
            0. Above 0 the vocabulary must have `_`. Defaults to 0.

    Returns:
        Function from a dict of tensors to three tensors: int32, int32 and float32.

    Raises:
        ValueError: `thinking_steps` is not an integer of at least 0, or the vocabulary
            lacks the blank.

    Example:
        ```python
        stories = tfds.load("babi/en-10k-qa1", split="train[:90%]")
        batches = stories.map(babi.story_encoder(vocabulary)).padded_batch(32)
        model.fit(batches)
        ```
    """
    import tensorflow as tf

    check_thinking_steps(thinking_steps, vocabulary)
    table = _table(vocabulary)

    def encode(example: dict[str, Any]) -> tuple[Any, Any, Any]:
        words = _split(example["lines"]["text"], r"[^\pL\pN_'.?-]+")
        answers = _split(example["lines"]["answer"], ",")
        counts = answers.row_lengths()
        blanks = _repeat(BLANK, tf.cast(counts > 0, counts.dtype) * thinking_steps)
        asked = tf.concat([words, blanks], axis=1)
        tokens = tf.concat([asked, _repeat(ANSWER, counts)], axis=1)
        silent = tf.zeros_like(asked.flat_values, "int32")
        targets = [asked.with_flat_values(silent), _lookup(table, answers)]
        weights = tf.concat([tf.zeros_like(targets[0]), tf.ones_like(targets[1])], 1)
        return (
            _lookup(table, tokens).flat_values,
            tf.concat(targets, axis=1).flat_values,
            tf.cast(weights.flat_values, "float32"),
        )

    return encode


def _table(vocabulary: Vocabulary) -> Any:
    """Build the lookup table from words to their indices."""
    import tensorflow as tf

    words = tf.constant(vocabulary.words)
    numbers = tf.range(len(vocabulary.words), dtype="int64")
    entries = tf.lookup.KeyValueTensorInitializer(words, numbers)
    return tf.lookup.StaticHashTable(entries, default_value=UNKNOWN)


def _split(text: Any, separators: str) -> Any:
    """Split each text into its lower-case words, `.` and `?`: `(lines, None)`."""
    import tensorflow as tf

    lower = tf.strings.lower(text, encoding="utf-8")
    spaced = tf.strings.regex_replace(lower, separators, " ")
    return tf.strings.split(tf.strings.regex_replace(spaced, r"([.?])", r" \1 "))


def _repeat(word: str, counts: Any) -> Any:
    """Repeat a word in each row: `(lines, None)`."""
    import tensorflow as tf

    words = tf.fill([tf.reduce_sum(counts)], word)
    return tf.RaggedTensor.from_row_lengths(words, counts)


def _lookup(table: Any, words: Any) -> Any:
    """Return the index of each word of a ragged tensor, int32."""
    import tensorflow as tf

    return words.with_flat_values(tf.cast(table.lookup(words.flat_values), "int32"))
