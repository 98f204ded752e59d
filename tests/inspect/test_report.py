"""report: one page, which needs nothing but a browser."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import keras_dnc
from keras_dnc.inspect.report import report
from keras_dnc.inspect.trace import trace
from tests.dnc.cells import random_cell

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(7)
    return trace(random_cell(rng, num_writes=2), rng.normal(size=(2, 6, 5)))


def test_the_page_holds_all_it_needs(seen, tmp_path):
    report(seen, tmp_path / "memory.html", title="A look inside")
    text = (tmp_path / "memory.html").read_text()
    assert "A look inside" in text
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    for part in ("input", "output", "where head 2 writes", "usage", "memory"):
        assert f"{part} (dark" in text
    assert "where head 2 reads (dark" in text and "links of write head 2 (dark" in text


def test_a_page_of_a_sparse_memory_shows_the_slots_in_use(rng, tmp_path):
    cell = keras_dnc.SAMCell(3, 8, memory_size=500, word_size=4, num_reads=2)
    cell.build((None, 5))
    report(trace(cell, rng.normal(size=(2, 6, 5))), tmp_path / "memory.html")
    text = (tmp_path / "memory.html").read_text()
    assert "head 2 reads" in text and "links of" not in text


def test_one_label_a_step(seen, tmp_path):
    with pytest.raises(ValueError, match="one label for each step.*6. Received: 7"):
        report(seen, tmp_path / "memory.html", labels="abcdefg")
    with pytest.raises(ValueError, match="`sequence` must be .* 0 to 1"):
        report(seen, tmp_path / "memory.html", sequence=2)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_moves_all_parts_together(seen, tmp_path):
    """What is drawn at a step is what the trace holds of that step."""
    page = tmp_path / "memory.html"
    report(seen, page, labels="abcdef")
    script = """<script>window.addEventListener("load", async () => {
        const page = document.querySelector(".plotly-graph-div");
        await Plotly.animate(page, ["4"], {frame: {duration: 0}, mode: "immediate"});
        const named = name => page.layout.annotations.findIndex(
            note => note.text.startsWith(name));
        const memory = page._fullData[named("memory")].z;
        const line = page.data.find(part => part.mode == "lines").x[0];
        document.body.dataset.found = `${line} ${memory[3][1]}`;
    });</script></body>"""
    before, after = page.read_text().rsplit("</body>", 1)
    page.write_text(before + script + after)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--no-first-run"]
    command += ["--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    line, value = re.search(r'data-found="(\S+) (\S+)"', shown).groups()
    assert float(line) == 4.0
    assert float(value) == pytest.approx(seen.memory[0, 4, 3, 1], rel=1e-5)
    assert "main-svg" in shown and ">4: e</text>" in shown
