"""Versions of an export: folders named by integers, as TensorFlow Serving has them."""

import pathlib


def versions_in(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Return the versions in a folder.

    Args:
        folder: Path of a folder, which may not exist.

    Returns:
        Dict from the number of each version to its folder.
    """
    return {int(p.name): p for p in folder.glob("*") if p.name.isdecimal()}
