"""Files that are written whole or not at all.

A file is written beside its place, flushed to the disk and renamed. A process that is
killed at any moment, or meets a full disk, leaves the earlier file as it was.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

PARTIAL = "partial-"  # begins the names of files that are not yet whole


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the path of a partial file, which replaces `path` at the end.

    If anything is raised, the partial file is removed, and `path` is as it was.

    Args:
        path: `pathlib.Path` of the file, in a folder that exists.

    Yields:
        `pathlib.Path` at which to write the file, with the same ending and in the same
        folder.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with whole_file(path) as partial:
        ...     _ = partial.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    with removed_on_error(partial):
        yield partial
        with partial.open("rb+") as file:
            flush(file)
        replace(partial, path)


@contextlib.contextmanager
def removed_on_error(partial: pathlib.Path) -> Iterator[None]:
    """Remove a partly written file if anything is raised.

    Args:
        partial: `pathlib.Path` of the file, which need not exist.
    """
    try:
        yield
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def flush(file: Any) -> None:
    """Make sure that what was written to a file is on the disk.

    Args:
        file: A file that is open for writing.
    """
    file.flush()
    os.fsync(file.fileno())


def replace(partial: pathlib.Path, path: pathlib.Path) -> None:
    """Rename a file, and make sure that the new name is on the disk.

    Args:
        partial: `pathlib.Path` of the file.
        path: `pathlib.Path` of its new name in the same folder; replaced if it exists.
    """
    os.replace(partial, path)
    if os.name == "posix":  # other systems cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
