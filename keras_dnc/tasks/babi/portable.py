"""Stories in one file that needs neither TensorFlow nor tensorflow-datasets.

Written once by `python -m keras_dnc.tasks.babi.prepare`, and read by `load_stories`
where its `data` is such a file: a subset's stories, as gzipped JSON.
"""

import gzip
import json

from keras_dnc.tasks.babi.source import Line
from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.babi.source import splits_of

ENDING = ".json.gz"


def write_portable(path, subset, stories_by_split):
    """Write a subset's stories.

    Args:
        path: `pathlib.Path` that ends in `.json.gz`.
        subset: Such as `"en-10k"`.
        stories_by_split: Dict from a split's name to its list of `Story`.
    """
    content = {"subset": subset, "splits": stories_by_split}
    # No time in the header: the same stories give the same file.
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
    ):
        packed.write(json.dumps(content).encode())


def read_portable(path, config, split):
    """Read the stories of one task, or of all.

    Args:
        path: `pathlib.Path` of a file that `write_portable` wrote.
        config: As in `load_stories`.
        split: A split's name, without a slice.

    Returns:
        List of `Story`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds another subset, or there is no such task or split.
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
