"""Fetch KaTeX and Mermaid, so that equations and diagrams render without a network.

    python docs/assets/build.py

The files are written to `docs/assets/built`, which is not under version control. If
they are there in these versions, nothing is done. Without npm the documentation is
built all the same: equations are shown as TeX, and the browser looks for Mermaid in the
network.
"""

import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

PACKAGES = {  # from the package and its version to the files or folders of its `dist`
    "katex@0.16.22": ("katex.min.js", "katex.min.css", "fonts/"),
    "mermaid@11.12.0": ("mermaid.min.js",),
}
FONTS = ".woff2"  # the one format that browsers of today need
BUILT = pathlib.Path(__file__).parent / "built"


def wanted(name, patterns):
    """Return whether a file of `dist` is one of those that the pages load."""
    if name.startswith("fonts/"):
        return "fonts/" in patterns and name.endswith(FONTS)
    return name in patterns


def fetch(package, patterns, npm, target):
    """Write the wanted files of an npm package, or raise `CalledProcessError`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package, "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, text=True)
        (archive,) = pathlib.Path(folder).iterdir()
        with tarfile.open(archive) as members:
            for member in members:
                name = member.name.removeprefix("package/dist/")
                if name != member.name and wanted(name, patterns):
                    path = target / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(members.extractfile(member).read())


def build(npm):
    """Write all files, unless they are there; replace them as a whole."""
    versions = "\n".join(PACKAGES)
    stamp = BUILT / "versions.txt"
    if stamp.exists() and stamp.read_text() == versions:
        return
    with tempfile.TemporaryDirectory(dir=BUILT.parent) as folder:
        files = pathlib.Path(folder) / BUILT.name
        for package, patterns in PACKAGES.items():
            fetch(package, patterns, npm, files)
        (files / stamp.name).write_text(versions)
        shutil.rmtree(BUILT, ignore_errors=True)
        files.rename(BUILT)


def main():
    """Build, or say why equations will not be rendered."""
    npm = shutil.which("npm")
    try:
        if npm is None:
            raise FileNotFoundError("npm is not installed")
        build(npm)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        print(f"Equations are shown as TeX: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
