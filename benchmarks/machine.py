"""The machine and the packages that figures are measured with."""

import datetime
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import re
import sys

PACKAGES = ("keras", "tensorflow", "jax", "torch", "dnc")


def installed(name):
    """Return whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def needs(*packages):
    """End the program, without failure, if a package is not installed."""
    if absent := [name for name in packages if not installed(name)]:
        print(f"skipped: needs {', '.join(absent)}", file=sys.stderr)
        sys.exit()


def versions(packages=PACKAGES):
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor():
    """Return the name of the processor, from /proc/cpuinfo if it exists."""
    path = pathlib.Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def stamp():
    """Return the date, the machine and the versions of a run."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{os.cpu_count()} cores of {processor()}",
        "versions": versions(),
    }
