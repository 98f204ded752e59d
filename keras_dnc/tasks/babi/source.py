"""The official bAbI files: finding and parsing them.

A file is a sequence of stories. A line holds its number, which restarts at 1 with each
story, and a statement or a question. After a question, separated by tabs, come its
answer (several words are separated by commas) and the numbers of the lines that support
it:

    1 Mary went to the kitchen.
    2 Where is Mary? <TAB>kitchen<TAB>1
"""

import gzip
import hashlib
import pathlib
import re
import tarfile
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, TypeAlias

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

_Files: TypeAlias = Iterator[tuple[str, Callable[[], bytes]]]  # names, and readers

_FOLDER = "tasks_1-20_v1-2"
_ARCHIVE = f"*{_FOLDER}.tar.gz"
OFFICIAL_SHA256 = "0364ebde659f14d11bc21744516c5ec49d3d06cb692733f66680771244998898"
_MEBIBYTE = 2**20
_FILE = re.compile(r"([\w-]+)/qa(\d+)_(?:.+_)?(train|valid|test)\.txt$")


class Line(NamedTuple):
    """A statement or a question.

    Attributes:
        text: The statement or question, without its number.
        answer: The answer as written in the file, several words separated by commas.
            Empty for a statement. Defaults to `""`.
        supporting_facts: Numbers of the lines from which the answer follows, counted
            from 1. Defaults to `()`.

    Example:
        >>> Line("Where is Mary?", "kitchen", (1,)).answer
        'kitchen'
    """

    text: str
    answer: str = ""
    supporting_facts: tuple[int, ...] = ()


class Story(NamedTuple):
    """A story with its questions.

    Attributes:
        task: Number of the task, 1 to 20, a key of `TASK_NAMES`.
        lines: Statements and questions, in order.

    Example:
        >>> statement = Line("Mary went to the kitchen.")
        >>> question = Line("Where is Mary?", "kitchen", (1,))
        >>> Story(task=1, lines=(statement, question)).lines[1].supporting_facts
        (1,)
    """

    task: int
    lines: tuple[Line, ...]


def splits_of(subset: str) -> tuple[str, ...]:
    """Return the names of the splits of a subset.

    Args:
        subset: One of `SUBSETS`.

    Returns:
        Names of splits, in order.

    Example:
        >>> splits_of("en-10k")
        ('train', 'test')
    """
    return ("train", "valid", "test") if "valid" in subset else ("train", "test")


def find_source(path: pathlib.Path) -> pathlib.Path:
    """Find the bAbI archive or the extracted folder.

    Args:
        path: Path of the archive, of a folder that holds the archive, or of the
            extracted folder.

    Returns:
        Path of the archive, or of the folder that holds the folders of the subsets.

    Raises:
        FileNotFoundError: `path` is none of the three.
    """
    if path.is_file() and path.name.endswith((".tar.gz", ".tgz")):
        _warn_unless_official(path)
        return path
    if path.is_dir():
        folders = [folder for folder in (path, path / _FOLDER) if _has_subset(folder)]
        found = folders or sorted(path.glob(_ARCHIVE))
        if found:
            return found[0] if folders else find_source(found[0])
    raise FileNotFoundError(
        f"Argument `data` (or `manual_dir`) must be the archive {_FOLDER}.tar.gz, a "
        f"folder that holds it, or the extracted folder. Received: {path}"
    )


def _warn_unless_official(archive: pathlib.Path) -> None:
    """Warn if an archive is not, byte for byte, the official one."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != OFFICIAL_SHA256:
        warnings.warn(
            f"{archive} is not the official bAbI archive: its SHA-256 is {digest}, and "
            f"not {OFFICIAL_SHA256}. Its stories are used.",
            stacklevel=3,
        )


def _has_subset(folder: pathlib.Path) -> bool:
    """Return whether a folder holds the folder of a subset."""
    return any((folder / subset).is_dir() for subset in SUBSETS)


def read_stories(
    source: pathlib.Path, subset: str, split: str, tasks: Collection[int]
) -> Iterator[Story]:
    """Read the stories of some tasks, ordered by task and by position in the file.

    Args:
        source: Path of the archive or of the extracted folder, from `find_source`.
        subset: One of `SUBSETS`.
        split: One of `splits_of(subset)`.
        tasks: Numbers of tasks, 1 to 20.

    Yields:
        `Story`.

    Raises:
        FileNotFoundError: The source does not hold the file of a task.
        ValueError: The archive is damaged, or a line does not have the format of bAbI.
    """
    files = _read_files(source, subset, split, tasks)
    missing = sorted(set(tasks) - set(files))
    if missing:
        raise FileNotFoundError(
            f"Argument `data` (or `manual_dir`) must hold the {split} files of "
            f"{subset!r} for tasks {sorted(tasks)}. "
            f"Received: {source}, which lacks those of {missing}"
        )
    for task, (name, content) in sorted(files.items()):
        yield from parse_stories(task, _decode(name, content), name)


def _read_files(
    source: pathlib.Path, subset: str, split: str, tasks: Collection[int]
) -> dict[int, tuple[str, bytes]]:
    """Return `(name, content)` of the file of each task."""
    files: dict[int, tuple[str, bytes]] = {}
    for task, name, content in _find_files(source, subset, split, tasks):
        if task in files:
            raise ValueError(
                "Argument `data` (or `manual_dir`) must hold one file for each task. "
                f"Received: {source}, which holds {files[task][0]} and {name}"
            )
        files[task] = name, content
    return files


def _decode(name: str, content: bytes) -> str:
    """Decode the content of a file, which may begin with a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"A file of bAbI must be UTF-8. Received: {name}, {error}"
        ) from (error)


def _find_files(
    source: pathlib.Path, subset: str, split: str, tasks: Collection[int]
) -> Iterator[tuple[int, str, bytes]]:
    """Yield `(task, name, content)` for each selected file of a folder or archive."""
    files = _folder_files(source) if source.is_dir() else _archive_files(source)
    for name, read in files:
        match = _FILE.search(name)
        if match and (match[1], match[3]) == (subset, split) and int(match[2]) in tasks:
            yield int(match[2]), name, read()


def _folder_files(folder: pathlib.Path) -> _Files:
    """Yield the name and a reader of each file in the extracted folder."""
    for path in folder.glob("*/qa*.txt"):
        yield f"{path.parent.name}/{path.name}", path.read_bytes


def _archive_files(archive: pathlib.Path) -> _Files:
    """Yield the name and a reader of each file in the archive."""
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as members:
                for member in members:
                    content = members.extractfile(member) if member.isfile() else None
                    if content is not None:
                        yield member.name, content.read
            while stream.read(_MEBIBYTE):  # to the checksum, which tarfile leaves
                pass
    except (tarfile.ReadError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(
            "Argument `data` (or `manual_dir`) must be a whole tar.gz archive. "
            f"Received: {archive}, which cannot be read ({error})"
        ) from error


def fingerprint(
    source: pathlib.Path, subset: str, splits: Collection[str], tasks: Collection[int]
) -> str:
    """Compute a hash of the selected files' contents.

    Args:
        source: Path of the archive or of the extracted folder, from `find_source`.
        subset: One of `SUBSETS`.
        splits: Some of `splits_of(subset)`.
        tasks: Numbers of tasks, 1 to 20.

    Returns:
        SHA-256 digest in hexadecimal; it differs if the contents differ.
    """
    digest = hashlib.sha256()
    for split in splits:
        files = _read_files(source, subset, split, tasks)
        for task, (name, content) in sorted(files.items()):
            digest.update(f"{split} {task} {_decode(name, content)}".encode())
    return digest.hexdigest()


def parse_stories(task: int, text: str, name: str = "text") -> Iterator[Story]:
    """Parse the text of a file into stories. Blank lines are skipped.

    Args:
        task: Number of the task, 1 to 20.
        text: Content of the whole file.
        name: Name of the file, for error messages. Defaults to `"text"`.

    Yields:
        `Story`.

    Raises:
        ValueError: A line does not have the format of bAbI.
    """
    lines: list[Line] = []
    for position, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        number, parsed = _parse_line(line, f"{name}, line {position}")
        if number == 1 and lines:
            yield Story(task, tuple(lines))
            lines = []
        lines.append(parsed)
    if lines:
        yield Story(task, tuple(lines))


def _parse_line(line: str, place: str) -> tuple[int, Line]:
    """Parse a line into its number and its content."""
    number, _, rest = line.strip().partition(" ")
    fields = [field.strip() for field in rest.split("\t")]
    is_statement = len(fields) == 1 and not rest.rstrip().endswith("?")
    if not number.isdecimal() or not (is_statement or _is_question(fields)):
        raise ValueError(
            "A line of bAbI must be `number text` or `number question<TAB>answer<TAB>"
            f"supporting lines`. Received: {line!r} in {place}"
        )
    if len(fields) == 1:
        return int(number), Line(fields[0])
    facts = tuple(int(fact) for fact in fields[2].split())
    return int(number), Line(fields[0], fields[1], facts)


def _is_question(fields: list[str]) -> bool:
    """Return whether fields are a question, its answer and numbers of lines."""
    return (
        len(fields) == 3
        and bool(fields[1])
        and all(fact.isdecimal() for fact in fields[2].split())
    )
