"""Stories in one file that is read without TensorFlow or tensorflow-datasets.

`python -m keras_dnc.tasks.babi.prepare` writes the file once: the stories of a subset,
as gzipped JSON, whose checksum covers every story. `load_stories` reads it when its
`data` is the path of such a file.
"""

import gzip
import json
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_dnc.files import whole_file
from keras_dnc.tasks.babi.source import SUBSETS
from keras_dnc.tasks.babi.source import TASK_NAMES
from keras_dnc.tasks.babi.source import Line
from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.babi.source import splits_of

ENDING = ".json.gz"
_VERSION = 1  # of the format; files without a version have this one


def write_portable(
    path: pathlib.Path, subset: str, stories_by_split: Mapping[str, Sequence[Story]]
) -> None:
    """Write the stories of a subset; equal stories give equal files.

    The file is written whole or not at all: a file that was at `path` before stays as
    it is if writing fails.

    Args:
        path: `pathlib.Path` that ends in `.json.gz`.
        subset: Name of the subset, such as `"en-10k"`.
        stories_by_split: Dict from the name of a split to its list of `Story`.
    """
    content = {"version": _VERSION, "subset": subset, "splits": stories_by_split}
    with whole_file(path) as partial:
        # The header holds no time, so that equal stories give equal files.
        partial.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))


def read_portable(path: pathlib.Path, config: str, split: str) -> list[Story]:
    """Read the stories of one task, or of all, from a portable file.

    Args:
        path: `pathlib.Path` of a file that `write_portable` wrote.
        config: Subset and task, such as `"en-10k-qa1"` or `"en-10k-all"`.
        split: Name of a split, without a slice.

    Returns:
        List of `Story`.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: The file is damaged, of another kind or of another version of the
            format; or it holds another subset, or no such task or split.
    """
    content = _read_content(path)
    subset, _, tail = config.rpartition("-")
    if subset != content["subset"] or split not in content["splits"]:
        raise ValueError(
            f"Arguments `config` and `split` must be of the subset in {path}, "
            f"{content['subset']!r} with splits {splits_of(content['subset'])}. "
            f"Received: config={config!r}, split={split!r}"
        )
    try:
        stories = [
            _to_story(task, lines)
            for task, lines in content["splits"][split]
            if tail in ("all", f"qa{task}")
        ]
    except (TypeError, ValueError) as error:
        raise _refusal(path, f"whose {split} stories are not as written") from error
    if not stories:
        raise ValueError(
            f"Argument `config` must end in a task that {path} holds, such as 'qa1', "
            f"or in 'all'. Received: config={config!r}"
        )
    return stories


def _read_content(path: pathlib.Path) -> dict[str, Any]:
    """Read the JSON of a portable file, and check all but the stories."""
    if path.is_dir():
        raise _refusal(path, "a folder")
    try:
        with gzip.open(path) as file:
            content = json.loads(file.read())  # to the checksum
    except (
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        ValueError,
        RecursionError,
    ) as error:
        raise _refusal(path, f"which cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise _refusal(path, "which holds something else")
    version, subset = content.get("version", _VERSION), content.get("subset")
    if version != _VERSION:
        received = f"of version {version!r} of the format, where {_VERSION} is read"
        raise _refusal(path, received)
    splits = content.get("splits")
    if subset not in SUBSETS or not isinstance(splits, dict):
        raise _refusal(path, "which lacks a known 'subset' or its 'splits'")
    if set(splits) != set(splits_of(subset)):
        raise _refusal(path, f"with the splits {sorted(splits)} of {subset!r}")
    return content


def _refusal(path: pathlib.Path, received: str) -> ValueError:
    """Return the error for a file that `prepare` has not written, or not like this."""
    return ValueError(
        f"Argument `data` must be a whole file that `python -m {__package__}.prepare` "
        f"has written, if it ends in {ENDING}. Received: {path}, {received}. Run that "
        "command again."
    )


def _to_story(task: Any, lines: Any) -> Story:
    """Convert the JSON of a story; raise a `TypeError` or `ValueError` for another."""
    story = Story(
        task,
        tuple(Line(text, answer, tuple(facts)) for text, answer, facts in lines),
    )
    is_task = type(task) is int and task in TASK_NAMES
    if not is_task or not story.lines or not all(map(_is_line, story.lines)):
        raise ValueError(f"Not a story: {story}")
    return story


def _is_line(line: Line) -> bool:
    """Return whether the fields of a line have their types."""
    return (
        isinstance(line.text, str)
        and isinstance(line.answer, str)
        and all(isinstance(fact, int) for fact in line.supporting_facts)
    )
