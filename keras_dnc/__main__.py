"""List the pretrained models, and talk to those that read text.

    python -m keras_dnc
    python -m keras_dnc ask babi-dnc

`--folder` before the command names another folder of models.
"""

import argparse
import sys
from collections.abc import Sequence

from keras_dnc.saved_models import Reader
from keras_dnc.saved_models import talk
from keras_dnc.saved_models.reader import text_models
from keras_dnc.saved_models.terminal import table_of_models


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: Arguments of the command line, or `None` for those of the process.
            Defaults to `None`.

    Raises:
        SystemExit: If the arguments are wrong, or there are no models.
    """
    settings = _parser().parse_args(arguments)
    try:
        if settings.command == "ask":
            reader = Reader.from_preset(settings.name, settings.folder)
            talk(reader, answer_words=settings.answer_words)
        else:
            _list_models(settings.folder)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports Ctrl-C


def _parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_dnc",
        description="List the pretrained models, or talk to one that reads text.",
    )
    parser.add_argument("--folder", help="folder of models; default: the package's")
    commands = parser.add_subparsers(dest="command", title="commands")
    ask = commands.add_parser("ask", help="tell a model a story, and ask questions")
    ask.add_argument("name", help="name of a model that reads text, such as babi-dnc")
    ask.add_argument("--answer-words", type=int, default=1, help="default: 1")
    return parser


def _list_models(folder: str | None) -> None:
    """Print a table of the models, and how to use them."""
    from rich.console import Console  # keras depends on it

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # of a terminal without UTF-8
    console = Console(highlight=False, markup=False)
    console.print(table_of_models(folder))
    console.print("Load one: keras_dnc.saved_models.load(name)", soft_wrap=True)
    for name in text_models(folder):
        console.print(f"Talk to one: python -m keras_dnc ask {name}", soft_wrap=True)


if __name__ == "__main__":
    main()
