"""The files of bAbI as its authors publish them: where they are, what they say.

A file holds stories, one after the other; a line is a number that starts again at 1
with each story, and a statement or a question. After a question stand, between tabs,
its answer (several words between commas) and the numbers of the lines that support it:

    1 Mary went to the kitchen.
    2 Where is Mary? <TAB>kitchen<TAB>1
"""

import hashlib
import re
import tarfile
from typing import NamedTuple

SUBSETS = (
    "en",
    "en-10k",
    "en-valid",
    "en-valid-10k",
    "hn",
    "hn-10k",
    "shuffled",
    "shuffled-10k",
)
TASK_NAMES = {
    1: "single supporting fact",
    2: "two supporting facts",
    3: "three supporting facts",
    4: "two argument relations",
    5: "three argument relations",
    6: "yes/no questions",
    7: "counting",
    8: "lists/sets",
    9: "simple negation",
    10: "indefinite knowledge",
    11: "basic coreference",
    12: "conjunction",
    13: "compound coreference",
    14: "time reasoning",
    15: "basic deduction",
    16: "basic induction",
    17: "positional reasoning",
    18: "size reasoning",
    19: "path finding",
    20: "agent's motivations",
}

_FOLDER = "tasks_1-20_v1-2"
_ARCHIVE = f"*{_FOLDER}.tar.gz"
_FILE = re.compile(r"([\w-]+)/qa(\d+)_(?:.+_)?(train|valid|test)\.txt$")


class Line(NamedTuple):
    """A statement or a question.

    Attributes:
        text: What is said, without its number.
        answer: The answer as the file has it, several words between commas; empty for
            a statement.
        supporting_facts: Numbers of the lines that the answer follows from.
    """

    text: str
    answer: str = ""
    supporting_facts: tuple = ()


class Story(NamedTuple):
    """A story with its questions.

    Attributes:
        task: 1 to 20, a key of `TASK_NAMES`.
        lines: Tuple of `Line`.
    """

    task: int
    lines: tuple


def splits_of(subset):
    """Names of the splits that a subset has."""
    return ("train", "valid", "test") if "valid" in subset else ("train", "test")


def find_source(path):
    """Find bAbI under `path`.

    Args:
        path: `pathlib.Path` of the archive, of a folder that holds the archive, or of
            the extracted folder.

    Returns:
        Path of the archive, or of the folder that holds the subsets' folders.

    Raises:
        FileNotFoundError: `path` is none of the three.
    """
    if path.is_file() and path.name.endswith((".tar.gz", ".tgz")):
        return path
    if path.is_dir():
        folders = [folder for folder in (path, path / _FOLDER) if _has_subset(folder)]
        found = folders or sorted(path.glob(_ARCHIVE))
        if found:
            return found[0]
    raise FileNotFoundError(
        f"Argument `data` (or `manual_dir`) must be the archive {_FOLDER}.tar.gz, a "
        f"folder that holds it, or the extracted folder. Received: {path}"
    )


def _has_subset(folder):
    return any((folder / subset).is_dir() for subset in SUBSETS)


def read_stories(source, subset, split, tasks):
    """Read the stories of some tasks, in the order of tasks and files.

    Args:
        source: What `find_source` gave.
        subset: One of `SUBSETS`.
        split: One of `splits_of(subset)`.
        tasks: Numbers, 1 to 20.

    Yields:
        `Story`.

    Raises:
        FileNotFoundError: The source does not hold the file of a task.
    """
    texts = dict(_read_texts(source, subset, split, tasks))
    missing = sorted(set(tasks) - set(texts))
    if missing:
        raise FileNotFoundError(
            f"Argument `data` (or `manual_dir`) must hold the {split} files of "
            f"{subset!r} for tasks {sorted(tasks)}. "
            f"Received: {source}, which lacks those of {missing}"
        )
    for task in sorted(texts):
        yield from parse_stories(task, texts[task])


def _read_texts(source, subset, split, tasks):
    """Yield `(task, text)` for each file wanted, from a folder or an archive."""
    files = _folder_files(source) if source.is_dir() else _archive_files(source)
    for name, read in files:
        match = _FILE.search(name)
        if match and (match[1], match[3]) == (subset, split) and int(match[2]) in tasks:
            yield int(match[2]), read().decode("utf-8")


def _folder_files(folder):
    for path in folder.glob("*/qa*.txt"):
        yield f"{path.parent.name}/{path.name}", path.read_bytes


def _archive_files(archive):
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file) as members:
            for member in members:
                if member.isfile():
                    yield member.name, members.extractfile(member).read
    except (tarfile.ReadError, EOFError) as error:
        raise ValueError(
            "Argument `data` (or `manual_dir`) must be a whole tar.gz archive. "
            f"Received: {archive}, which cannot be read ({error})"
        ) from error


def fingerprint(source, subset, splits, tasks):
    """Give a short text that differs where the files' contents differ."""
    digest = hashlib.sha256()
    for split in splits:
        for task, text in sorted(_read_texts(source, subset, split, tasks)):
            digest.update(f"{split} {task} {text}".encode())
    return digest.hexdigest()


def parse_stories(task, text):
    """Cut a file's text into stories.

    Args:
        task: Number of the task.
        text: The whole file.

    Yields:
        `Story`.

    Raises:
        ValueError: A line that is not of bAbI's form.
    """
    lines = []
    for line in text.splitlines():
        number, parsed = _parse_line(line)
        if number == 1 and lines:
            yield Story(task, tuple(lines))
            lines = []
        lines.append(parsed)
    if lines:
        yield Story(task, tuple(lines))


def _parse_line(line):
    number, _, rest = line.strip().partition(" ")
    fields = [field.strip() for field in rest.split("\t")]
    if not number.isdigit() or len(fields) not in (1, 3):
        raise ValueError(
            "A line of bAbI must be `number text` or `number question<TAB>answer<TAB>"
            f"supporting lines`. Received: {line!r}"
        )
    if len(fields) == 1:
        return int(number), Line(fields[0])
    facts = tuple(int(fact) for fact in fields[2].split())
    return int(number), Line(fields[0], fields[1], facts)
