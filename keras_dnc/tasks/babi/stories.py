"""Loading stories from the TensorFlow dataset `babi` or from a portable file."""

import collections
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_dnc.files import whole_file
from keras_dnc.tasks.babi.portable import ENDING
from keras_dnc.tasks.babi.portable import read_portable
from keras_dnc.tasks.babi.source import Line
from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.babi.source import find_source
from keras_dnc.tasks.babi.source import fingerprint
from keras_dnc.tasks.babi.source import read_stories
from keras_dnc.tasks.babi.source import splits_of


def load_stories(
    config: str,
    split: str,
    data: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
) -> list[Story]:
    """Load the stories of a split.

    The first call prepares the data with tensorflow-datasets; later calls read the
    prepared data from disk.

    Args:
        config: Subset and task, such as `"en-10k-qa1"` or `"en-10k-all"`.
        split: `"train"`, `"test"`, or `"valid"` where the subset has one, or a slice
            such as `"train[:90%]"`.
        data: Where to read the stories from. Without network, the path of the official
            archive, of a folder that holds it, or of the extracted folder. Without
            TensorFlow, the path of a file that `python -m keras_dnc.tasks.babi.prepare`
            wrote; `split` must then be a whole split. Defaults to `None`, to download
            the archive.
        data_dir: Folder for the prepared data. Defaults to `None`, for that of
            tensorflow-datasets.

    Returns:
        List of `Story`.

    Raises:
        FileNotFoundError: `data` does not hold the files.
        ValueError: There is no such config or split, `data` is damaged, or the data in
            `data_dir` was prepared from other files.

    Example:
        ```python
        stories = load_stories("en-10k-qa1", "train", data="tasks_1-20_v1-2.tar.gz")
        ```
    """
    if data is not None and str(data).endswith(ENDING):
        return read_portable(pathlib.Path(data), config, split)
    # The import needs tensorflow-datasets, and registers the dataset.
    from keras_dnc.tasks.babi import babi_dataset_builder as module

    builder = module.Builder(config=config, data_dir=data_dir)
    source = None if data is None else find_source(pathlib.Path(data))
    was_prepared = pathlib.Path(builder.data_path).exists()
    builder.download_and_prepare(download_config=module.download_config(source))
    if source is not None:
        _check_prepared_from(builder, source, was_prepared)
    return [_to_story(example) for example in module.examples(builder, split)]


def _check_prepared_from(
    builder: Any, source: pathlib.Path, was_prepared: bool
) -> None:
    """Raise a `ValueError` if the prepared stories come from other files.

    TFDS leaves no record of the files: then the stories are compared, once.
    """
    subset, tasks = builder.builder_config.subset, builder.builder_config.tasks
    seen = fingerprint(source, subset, splits_of(subset), tasks)
    file = pathlib.Path(builder.data_path) / "source.sha256"
    if not was_prepared or (not file.exists() and _are_in(builder, source)):
        with whole_file(file) as partial:
            partial.write_text(seen)
    if not file.exists() or file.read_text() != seen:
        raise ValueError(
            "Argument `data` must hold the files that the prepared stories in "
            f"{builder.data_path} come from. These come from other files: remove that "
            f"folder, or name another `data_dir`. Received: data={str(source)!r}"
        )


def _are_in(builder: Any, source: pathlib.Path) -> bool:
    """Return whether the prepared stories are those of some files."""
    from keras_dnc.tasks.babi.babi_dataset_builder import examples

    subset, tasks = builder.builder_config.subset, builder.builder_config.tasks
    return all(
        collections.Counter(map(_to_story, examples(builder, split)))
        == collections.Counter(read_stories(source, subset, split, tasks))
        for split in splits_of(subset)
    )


def _to_story(example: Mapping[str, Any]) -> Story:
    """Convert an example of the TensorFlow dataset to a `Story`."""
    lines = example["lines"]
    return Story(
        task=int(example["task"]),
        lines=tuple(
            Line(text.decode(), answer.decode(), tuple(facts))
            for text, answer, facts in zip(
                lines["text"],
                lines["answer"],
                lines["supporting_facts"].to_list(),
                strict=True,
            )
        ),
    )
