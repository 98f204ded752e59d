"""Every program in the documentation runs as it stands there, page by page."""

import pathlib
import re

import pytest

import keras_dnc

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
WITH_PICTURES = [*PAGES, ROOT / "README.md", ROOT / "examples" / "README.md"]


def python_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_programs_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in python_of(page):
        exec(compile(code, page.name, "exec"), names)


def test_every_picture_is_there():
    pictures = [
        page.parent / name
        for page in WITH_PICTURES
        for name in re.findall(r"!\[[^\]]+\]\((.*?)\)", page.read_text())
    ]
    assert len(pictures) > 10
    assert [path for path in pictures if not path.exists()] == []


def test_every_public_name_stands_in_the_reference():
    pages = (ROOT / "docs" / "api").glob("*.md")
    named = set(
        re.findall(r"::: keras_dnc\.(\w+)\n", "".join(p.read_text() for p in pages))
    )
    assert set(keras_dnc.__all__) - named == set()
