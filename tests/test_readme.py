"""The README's program runs as it stands there, and ends as the README says."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_the_readme_is_at_most_150_lines():
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.slow
@pytest.mark.only("tensorflow", "jax")
def test_the_quick_start_learns_and_prints_the_pattern(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(code.strip().splitlines()) <= 36
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    printed = re.search(
        r"\n\n((?:    .*\n)*    0 wrong bits.*\n(?:    .*\n)+)", README.read_text()
    )
    lines = [line.removeprefix("    ") for line in printed[1].splitlines()]
    assert capsys.readouterr().out.endswith("\n".join(lines) + "\n")


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#:]+)", README.read_text())
    assert len(links) > 20
    assert [link for link in links if not (README.parent / link).exists()] == []
