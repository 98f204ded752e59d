"""bAbI as a TensorFlow dataset: importing this module registers `tfds.load("babi")`."""

import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from keras_dnc.tasks.babi.source import SUBSETS
from keras_dnc.tasks.babi.source import TASK_NAMES
from keras_dnc.tasks.babi.source import find_source
from keras_dnc.tasks.babi.source import read_stories
from keras_dnc.tasks.babi.source import splits_of

_URL = "http://www.thespermwhale.com/jaseweston/babi/tasks_1-20_v1-2.tar.gz"


class BabiConfig(tfds.core.BuilderConfig):
    """A subset of bAbI, with one of its tasks or all of them.

    Args:
        subset: One of `SUBSETS`, which names a language, and a size or an order.
        task: Number of the task, 1 to 20. Defaults to `None`, for all tasks.

    Example:
        >>> BabiConfig("en-10k", task=1).name
        'en-10k-qa1'
    """

    def __init__(self, subset: str, task: int | None = None) -> None:
        tail = "all" if task is None else f"qa{task}"
        what = "all tasks" if task is None else f"task {task}, {TASK_NAMES[task]}"
        super().__init__(name=f"{subset}-{tail}", description=f"{subset}: {what}")
        self.subset = subset
        self.tasks = tuple(TASK_NAMES) if task is None else (task,)


class Builder(tfds.core.GeneratorBasedBuilder):
    """The 20 bAbI tasks; one example is one story."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {"1.2.0": "The tasks as published in version 1.2."}
    BUILDER_CONFIGS = [
        BabiConfig(subset, task) for subset in SUBSETS for task in (*TASK_NAMES, None)
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Without network, let manual_dir be the archive tasks_1-20_v1-2.tar.gz, a "
        "folder that holds it, or the extracted folder. With network it is downloaded."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        """Describe the features of an example."""
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "task": tfds.features.Scalar(tf.int64),
                    "lines": tfds.features.Sequence(
                        {
                            "text": tfds.features.Text(),
                            "answer": tfds.features.Text(),
                            "supporting_facts": tfds.features.Sequence(tf.int64),
                        }
                    ),
                }
            ),
            homepage="https://research.facebook.com/downloads/babi/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Return the example generator of each split."""
        source = _manual_source(dl_manager)
        if source is None:
            source = _downloaded(dl_manager)
        subset = self.builder_config.subset
        return {
            split: self._generate_examples(source, split) for split in splits_of(subset)
        }

    def _generate_examples(
        self, source: epath.Path, split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield `(key, example)` for each story of a split."""
        config = self.builder_config
        stories = read_stories(source, config.subset, split, config.tasks)
        for number, story in enumerate(stories):
            lines = [line._asdict() for line in story.lines]
            yield number, {"task": story.task, "lines": lines}


def _manual_source(dl_manager: Any) -> epath.Path | None:
    """Find bAbI in `manual_dir`, or return `None` if the user gave no such folder."""
    try:
        manual_dir = dl_manager.manual_dir
    except (AssertionError, NotADirectoryError):
        # It does not exist, is empty, or is an archive: the error does not say which.
        manual_dir = dl_manager._manual_dir
    try:
        return find_source(epath.Path(manual_dir))
    except FileNotFoundError:
        # The default folder of TFDS for manual downloads may hold other datasets only.
        if manual_dir == epath.Path(dl_manager.download_dir) / "manual":
            return None
        raise


def _downloaded(dl_manager: Any) -> epath.Path:
    """Download the archive, unless TFDS has it; without network, say so at once.

    TFDS itself tries ten times, for minutes, and does not name `manual_dir`.
    """
    folder = epath.Path(dl_manager.download_dir)
    if not any(folder.glob("*tasks_1-20*")):
        import requests

        try:
            requests.head(_URL, timeout=20)
        except requests.RequestException as error:
            raise ConnectionError(
                f"bAbI cannot be downloaded from {_URL}. Pass the archive, or a folder "
                "that holds it, as `manual_dir`: tfds.load(..., "
                "download_and_prepare_kwargs={'download_config': "
                "tfds.download.DownloadConfig(manual_dir=...)})"
            ) from error
    return epath.Path(dl_manager.download(_URL))


def download_config(
    manual_dir: str | os.PathLike | None,
) -> tfds.download.DownloadConfig:
    """Build the download settings that make TFDS read bAbI from a folder or archive.

    Args:
        manual_dir: Path of the archive, of a folder that holds it, or of the extracted
            folder; `None` to download the archive.

    Returns:
        `tfds.download.DownloadConfig`.
    """
    return tfds.download.DownloadConfig(manual_dir=manual_dir)


def examples(builder: Builder, split: str) -> Any:
    """Read a prepared split as nested NumPy arrays.

    Args:
        builder: `Builder` whose data is prepared.
        split: Name of a split, or a slice of one.

    Returns:
        Iterable of dicts, one for each story.
    """
    return tfds.as_numpy(builder.as_dataset(split=split))
