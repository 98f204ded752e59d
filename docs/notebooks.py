"""Write the tutorials as notebooks to `examples/notebooks`.

    python docs/notebooks.py

The pages are the source: `tests/test_docs.py` runs their programs, and checks that the
notebooks are those of the pages. Programs for one backend only are those of TensorFlow.
"""

import os
import pathlib
import re

import nbformat
from nbformat import v4

DOCS = pathlib.Path(__file__).parent
NOTEBOOKS = DOCS.parent / "examples" / "notebooks"
PAGES = [
    *[DOCS / name for name in ("start.md", "graphs.md", "inspecting.md", "state.md")],
    *sorted((DOCS / "tutorials").glob("*.md")),
]
INSTALL = """\
Install the package before the first cell. On Colab, upload or clone the repository:

    %pip install -q "./keras_dnc[babi,graphs,plot]"

`docs/notebooks.py` wrote this notebook from [{page}]({link}): edit the page."""
_PROGRAM = re.compile(r'^```python(?: title="(\w+)")?\n(.*?)^```\n', re.S | re.M)
_LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


def notebook_of(page):
    """Convert a page of the documentation to a notebook."""
    link = os.path.relpath(page, NOTEBOOKS)
    install = INSTALL.format(page=page.name, link=link)
    cells = [v4.new_markdown_cell(install), *_cells(page)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat's own are random
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _cells(page):
    """Yield the cells of a page, text and programs in turn."""
    text, end = page.read_text(), 0
    for program in _PROGRAM.finditer(text):
        title, code = program.groups()
        yield from _text(page, text[end : program.start()])
        end = program.end()
        if title in (None, "TensorFlow"):
            yield v4.new_code_cell(code.rstrip())
        else:
            yield from _text(page, program.group())
    yield from _text(page, text[end:])


def _text(page, text):
    """Yield a cell of text, its links relative to the notebook, unless it is empty."""

    def relative(match):
        return f"]({os.path.relpath(page.parent / match.group(1), NOTEBOOKS)})"

    if text.strip():
        yield v4.new_markdown_cell(_LINK.sub(relative, text.strip()))


def main():
    """Write all notebooks."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for page in PAGES:
        nbformat.write(notebook_of(page), NOTEBOOKS / f"{page.stem}.ipynb")


if __name__ == "__main__":
    main()
