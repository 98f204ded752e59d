"""List the trained models: `python -m keras_dnc`."""

from keras_dnc import saved_models


def main():
    """Print each model's name, and what its README says first."""
    for name in saved_models.available():
        said = saved_models.folder_of(name).joinpath("README.md").read_text()
        print(f"{name}\n    " + said.split("\n\n")[1].replace("\n", "\n    "))


if __name__ == "__main__":
    main()
