"""List the pretrained models: `python -m keras_dnc`."""

from keras_dnc import saved_models


def main() -> None:
    """Print the name of each model and the first paragraph of its README."""
    for name in saved_models.available():
        readme = saved_models.folder_of(name).joinpath("README.md").read_text()
        print(f"{name}\n    " + readme.split("\n\n")[1].replace("\n", "\n    "))


if __name__ == "__main__":
    main()
