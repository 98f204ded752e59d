"""Stories in one file that is read without TensorFlow or tensorflow-datasets.

`python -m keras_dnc.tasks.babi.prepare` writes the file once: the stories of a subset,
as gzipped JSON. `load_stories` reads it when its `data` is the path of such a file.
"""

import gzip
import json
import pathlib
from collections.abc import Mapping, Sequence

from keras_dnc.tasks.babi.source import Line
from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.babi.source import splits_of

ENDING = ".json.gz"


def write_portable(
    path: pathlib.Path, subset: str, stories_by_split: Mapping[str, Sequence[Story]]
) -> None:
    """Write the stories of a subset; equal stories give equal files.

    Args:
        path: `pathlib.Path` that ends in `.json.gz`.
        subset: Name of the subset, such as `"en-10k"`.
        stories_by_split: Dict from the name of a split to its list of `Story`.
    """
    content = {"subset": subset, "splits": stories_by_split}
    # The header holds no time, so that equal stories give equal files.
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
    ):
        packed.write(json.dumps(content).encode())


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
        ValueError: The file holds another subset, or no such task or split.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        content = json.load(file)
    subset, _, tail = config.rpartition("-")
    if subset != content["subset"] or split not in content["splits"]:
        raise ValueError(
            f"Arguments `config` and `split` must be of the subset in {path}, "
            f"{content['subset']!r} with splits {splits_of(content['subset'])}. "
            f"Received: config={config!r}, split={split!r}"
        )
    stories = [
        Story(
            task,
            tuple(Line(text, answer, tuple(facts)) for text, answer, facts in lines),
        )
        for task, lines in content["splits"][split]
        if tail in ("all", f"qa{task}")
    ]
    if not stories:
        raise ValueError(
            f"Argument `config` must end in a task that {path} holds, such as 'qa1', "
            f"or in 'all'. Received: config={config!r}"
        )
    return stories
