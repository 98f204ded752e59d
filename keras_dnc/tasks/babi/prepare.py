"""Prepare a subset of bAbI once, as a file for machines without TensorFlow.

python -m keras_dnc.tasks.babi.prepare --subset en-10k --output babi-en-10k.json.gz
"""

import argparse
import pathlib
from collections.abc import Sequence

from keras_dnc.tasks.babi.portable import ENDING
from keras_dnc.tasks.babi.portable import write_portable
from keras_dnc.tasks.babi.source import SUBSETS
from keras_dnc.tasks.babi.source import splits_of
from keras_dnc.tasks.babi.stories import load_stories


def main(arguments: Sequence[str] | None = None) -> None:
    """Load all splits of a subset with tensorflow-datasets, and write them to a file.

    Args:
        arguments: Command-line arguments. Defaults to `None`, for those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subset", default="en-10k", choices=SUBSETS)
    parser.add_argument("--data", help="archive or folder; downloaded where not given")
    parser.add_argument("--data-dir", help="where tensorflow-datasets keeps its files")
    parser.add_argument("--output", type=pathlib.Path, help="such as babi.json.gz")
    settings = parser.parse_args(arguments)
    output = settings.output or pathlib.Path(f"babi-{settings.subset}{ENDING}")
    if not output.name.endswith(ENDING):
        parser.error(f"--output must end in {ENDING}; received {output}")
    if output.is_dir() or not output.parent.is_dir():  # before minutes of loading
        parser.error(
            f"--output must be a file in an existing folder; received {output}"
        )
    config = f"{settings.subset}-all"
    stories = {
        split: load_stories(config, split, settings.data, settings.data_dir)
        for split in splits_of(settings.subset)
    }
    write_portable(output, settings.subset, stories)
    counts = ", ".join(f"{len(found)} {split}" for split, found in stories.items())
    print(f"{output}: {counts} stories")


if __name__ == "__main__":
    main()
