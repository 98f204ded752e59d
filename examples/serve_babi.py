"""Tell a pretrained or served DNC a story, and ask it questions, line by line.

    python examples/serve_babi.py

Lines are statements ("Mary went to the kitchen.") or questions ("Where is Mary?").
`new` starts a new story, `words` lists what the model knows. Word for word, each line
goes to the pretrained Keras model in this process; with --exported to the `step`
signature of its SavedModel, which a clone has; or to that of a server:

    python examples/serve_babi.py --target http://localhost:8501/v1/models/babi-dnc
"""

import argparse

from keras_dnc import saved_models
from keras_dnc.export import StreamingClient


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default="babi-dnc", help="name of a model that reads text")
    add("--folder", help="folder of models; default: the package's")
    add("--target", help="its server, http:// or grpc://, or a SavedModel")
    add("--exported", action="store_true", help="run its SavedModel in this process")
    add("--timeout", default=60.0, type=float, help="seconds to wait for the server")
    return parser.parse_args()


def client_of(settings):
    """Return the client of a server or of a SavedModel, or `None` for neither."""
    target = settings.target
    if settings.exported:
        target = saved_models.serving_folder_of(settings.model, settings.folder)
    return None if target is None else StreamingClient(target, timeout=settings.timeout)


def main():
    settings = parse_arguments()
    reader = saved_models.Reader.from_preset(
        settings.model, settings.folder, client=client_of(settings)
    )
    saved_models.talk(reader)


if __name__ == "__main__":
    main()
