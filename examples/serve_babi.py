"""Tell a served DNC a story, and ask it questions, line by line.

    python examples/serve_babi.py

Lines are statements ("Mary went to the kitchen.") or questions ("Where is Mary?").
`new` begins another story, `words` lists what the model knows. Word for word, each line
goes to the `step` signature of an export: one loaded here, or a server's:

    python examples/serve_babi.py --target http://localhost:8501/v1/models/babi-dnc
"""

import argparse
import json
import sys

import numpy as np

from keras_dnc import saved_models
from keras_dnc.export import StreamingClient
from keras_dnc.tasks import babi

ANSWER = "-"  # stands where an answer is asked for


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default="babi-dnc", help="a folder of saved_models")
    add("--box", default=None, help="folder saved_models, if not the clone's own")
    add(
        "--target",
        default=None,
        help="its server, http:// or grpc://; here if not given",
    )
    return parser.parse_args()


class Listener:
    """Feeds words to a served model, and gives its answers.

    Args:
        client: `StreamingClient` of a model that reads one word at a time.
        vocabulary: `babi.Vocabulary` of the model.
    """

    def __init__(self, client, vocabulary):
        self.client, self.vocabulary = client, vocabulary

    def hear(self, line):
        """Take in a line; give the answer to a question, `None` to a statement."""
        words = babi.tokenize(line)
        if not words or words[-1] not in (".", "?"):
            raise ValueError("A line ends with `.` or `?`.")
        unknown = sorted(set(words) - set(self.vocabulary.words))
        if unknown:
            raise ValueError(f"I do not know {', '.join(unknown)}: try `words`.")
        scores = self._read(words)
        if words[-1] == ".":
            return None
        scores = self._read([ANSWER])
        return self.vocabulary.words[int(np.argmax(scores))]

    def _read(self, words):
        for number in self.vocabulary.encode(words):
            (scores,) = self.client.step(np.array([number], "int32"))
        return scores


def answer_to(line, listener):
    """What to print for a line."""
    if line == "new":
        listener.client.reset()
        return "A new story."
    if line == "words":
        return " ".join(listener.vocabulary.words[2:])
    try:
        return listener.hear(line) or ""
    except (
        ValueError,
        RuntimeError,
        OSError,
    ) as error:  # a server's and the net's, too
        return str(error)


def main():
    settings = parse_arguments()
    folder = saved_models.folder_of(settings.model, settings.box)
    words = json.loads((folder / "config.json").read_text())["words"]
    versions = [path for path in (folder / "serving").iterdir() if path.name.isdigit()]
    newest = max(versions, key=lambda path: int(path.name))
    client = StreamingClient(settings.target or newest)
    listener = Listener(client, babi.Vocabulary(words))
    print("Tell me a story, and ask me questions; Ctrl-D ends.")
    for line in map(str.strip, sys.stdin):
        if line:
            print(answer_to(line, listener), flush=True)


if __name__ == "__main__":
    main()
