"""bAbI as a TensorFlow dataset: importing this module registers `tfds.load("babi")`."""

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
    """A subset of bAbI and one of its tasks, or all.

    Args:
        subset: One of `SUBSETS`: language, and size or order.
        task: 1 to 20, or `None` for all.
    """

    def __init__(self, subset, task=None):
        tail = "all" if task is None else f"qa{task}"
        what = "all tasks" if task is None else f"task {task}, {TASK_NAMES[task]}"
        super().__init__(name=f"{subset}-{tail}", description=f"{subset}: {what}")
        self.subset = subset
        self.tasks = tuple(TASK_NAMES) if task is None else (task,)


class Builder(tfds.core.GeneratorBasedBuilder):
    """The 20 bAbI tasks, one example a story."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {"1.2.0": "The tasks as published in version 1.2."}
    BUILDER_CONFIGS = [
        BabiConfig(subset, task) for subset in SUBSETS for task in (*TASK_NAMES, None)
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Without network, let manual_dir be the archive tasks_1-20_v1-2.tar.gz, a "
        "folder that holds it, or the extracted folder. With network it is downloaded."
    )

    def _info(self):
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

    def _split_generators(self, dl_manager):
        source = _manual_source(dl_manager)
        if source is None:
            source = epath.Path(dl_manager.download(_URL))
        subset = self.builder_config.subset
        return {
            split: self._generate_examples(source, split) for split in splits_of(subset)
        }

    def _generate_examples(self, source, split):
        config = self.builder_config
        stories = read_stories(source, config.subset, split, config.tasks)
        for number, story in enumerate(stories):
            lines = [line._asdict() for line in story.lines]
            yield number, {"task": story.task, "lines": lines}


def _manual_source(dl_manager):
    """Find bAbI in `manual_dir`; `None` where the user named no place."""
    try:
        manual_dir = dl_manager.manual_dir
    except (AssertionError, NotADirectoryError):
        # It does not exist, is empty, or is the archive itself; which, it does not say.
        manual_dir = dl_manager._manual_dir
    try:
        return find_source(epath.Path(manual_dir))
    except FileNotFoundError:
        # tensorflow-datasets' own place for manual downloads holds other datasets too.
        if manual_dir == epath.Path(dl_manager.download_dir) / "manual":
            return None
        raise


def download_config(manual_dir):
    """Give the settings that read bAbI from `manual_dir`, `None` for downloading."""
    return tfds.download.DownloadConfig(manual_dir=manual_dir)


def examples(builder, split):
    """Read a prepared split as nested arrays."""
    return tfds.as_numpy(builder.as_dataset(split=split))
