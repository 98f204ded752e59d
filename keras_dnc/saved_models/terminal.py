"""A conversation with a reader, line by line, and the table of the models."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from keras_dnc.arguments import positive_integer
from keras_dnc.saved_models.catalogue import available
from keras_dnc.saved_models.catalogue import folder_of
from keras_dnc.saved_models.reader import Answer
from keras_dnc.saved_models.reader import Reader
from keras_dnc.saved_models.reader import sentences_of

if TYPE_CHECKING:
    from rich.table import Table

_WELCOME = (
    "Tell a story in statements that end with `.`, and ask questions that end with `?`."
    "\n`new` starts a new story, `words` lists the words of the model, Ctrl-D ends."
)
_MEGABYTE = 1e6


def talk(
    reader: Reader,
    lines: Iterable[str] | None = None,
    say: Callable[[str], object] = print,
    answer_words: int = 1,
) -> None:
    """Talk with a reader: read each line, and answer the questions.

    A line has statements, questions, or both. `new` starts a new story, and `words`
    lists the words of the model. A line that the model cannot read, such as one with an
    unknown word, is answered with the reason and leaves the story as it is.

    Args:
        reader: `Reader`.
        lines: Lines of text, or `None` to read them from the terminal until Ctrl-D.
            Defaults to `None`.
        say: Function that shows one reply. Defaults to `print`.
        answer_words: Number of words of each answer, at least 1. Defaults to 1.

    Raises:
        ValueError: If `answer_words` is not a positive integer.

    Example:
        ```python
        reader = Reader.from_preset("babi-dnc")
        talk(reader, ["Mary went to the kitchen.", "Where is Mary?"])
        ```
    """
    answer_words = positive_integer("answer_words", answer_words)
    say(_WELCOME)
    for line in _lines_of_terminal() if lines is None else lines:
        for reply in _replies(reader, line.strip(), answer_words):
            say(reply)


def _lines_of_terminal() -> Iterator[str]:
    """Yield lines from the standard input, with a prompt if it is a terminal."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt)
        except (EOFError, KeyboardInterrupt):
            return
        yield line


def _replies(reader: Reader, line: str, answer_words: int) -> Iterator[str]:
    """Yield the replies to a line."""
    if line == "new":
        reader.reset()
        yield "A new story."
    elif line == "words":
        yield " ".join(_words(reader))
    elif problem := _problem(reader, line):
        yield problem
    else:
        yield from _answers(reader, line, answer_words)


def _words(reader: Reader) -> list[str]:
    """Return the words of the model, without marks, padding and the unknown word."""
    words = reader.vocabulary.words[2:]
    return [word for word in words if any(map(str.isalnum, word))]


def _problem(reader: Reader, line: str) -> str:
    """Return why no sentence of a line is read; an empty string if all are."""
    sentences = sentences_of(line)
    ended = [words[-1] in (".", "?") and len(words) > 1 for words in sentences]
    if line and not (ended and all(ended)):
        return "End a statement with `.` and a question with `?`."
    found = {word for words in sentences for word in words[:-1]}
    if unknown := sorted(found - {*_words(reader)}):
        return f"Not read, because of unknown words: {', '.join(unknown)}. Try `words`."
    return ""


def _answers(reader: Reader, line: str, answer_words: int) -> Iterator[str]:
    """Read the sentences of a line and yield the answers to its questions."""
    try:
        for words in sentences_of(line):
            text = " ".join(words)
            if words[-1] == "?":
                yield _shown(reader.ask(text, answer_words))
            else:
                reader.read(text)
    except (ValueError, RuntimeError) as error:  # a server's too: `ServerError`
        yield str(error)


def _shown(answer: Answer) -> str:
    """Return an answer as a line of text, with the others that are probable."""
    first, *others = (f"{text} {chance:.1%}" for text, chance in answer.top)
    return f"{first} ({', '.join(others)})"


def table_of_models(folder: str | os.PathLike[str] | None = None) -> "Table":
    """Build the table of the pretrained models: name, description, size.

    Args:
        folder: Path of a folder of models, such as `saved_models` of a clone, or `None`
            for the models of the package. Defaults to `None`.

    Returns:
        `rich.table.Table` with a row per model.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.
    """
    from rich.table import Table  # keras depends on it
    from rich.text import Text

    table = Table()
    table.add_column("model", no_wrap=True)
    table.add_column("description")
    table.add_column("MB", justify="right", no_wrap=True)
    for name in available(folder):
        size = folder_of(name, folder).joinpath("model.keras").stat().st_size
        description = Text(_description(name, folder))  # no markup in it
        table.add_row(Text(name), description, f"{size / _MEGABYTE:.1f}")
    return table


def _description(name: str, folder: str | os.PathLike[str] | None) -> str:
    """Return the first paragraph of a model's README; an empty string if none."""
    file = folder_of(name, folder) / "README.md"
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    _, _, body = text.partition("\n\n")
    return " ".join(body.partition("\n\n")[0].split())
