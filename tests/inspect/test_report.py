"""report: one page, which needs nothing but a browser."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import keras_dnc
from keras_dnc.inspect import panels
from keras_dnc.inspect.colors import DIVERGING
from keras_dnc.inspect.colors import READ_HEADS
from keras_dnc.inspect.colors import WRITE_HEADS
from keras_dnc.inspect.report import report
from keras_dnc.inspect.sheet import Ranking
from keras_dnc.inspect.sheet import Sheet
from keras_dnc.inspect.trace import Trace
from keras_dnc.inspect.trace import trace
from tests.dnc.cells import random_cell

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(7)
    return trace(random_cell(rng, num_writes=2), rng.normal(size=(2, 6, 5)))


def written(tmp_path, seen, **options):
    """The text of the report of a trace."""
    report(seen, tmp_path / "memory.html", **options)
    return (tmp_path / "memory.html").read_text()


def figure_of(seen, labels=None, first=5, **options):
    """The plotly figure of a report."""
    over_time = panels.over_time(seen, **options)
    return Sheet(over_time, panels.states(seen), labels).figure(first)


def test_the_page_needs_nothing_else_and_describes_every_panel(seen, tmp_path):
    text = written(tmp_path, seen, title="A <look> inside")
    assert "<h1>A &lt;look&gt; inside</h1>" in text
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    described = re.findall(
        r"u003cb\\u003e(\D.*?)\\u003c.*?#555'\\u003e(.*?)\\u003c", text
    )
    assert [title for title, _ in described] == [
        *("input", "output", "writes of 2 heads", "reads of 2 heads", "usage"),
        *("gates", "memory", "links of write head 1", "links of write head 2"),
    ]
    assert all(caption.endswith(".") for _, caption in described)


def test_controls_stick_to_the_top_and_name_every_token(seen, tmp_path):
    text = written(tmp_path, seen, labels=["a", "b", "<c>", "d", "</script>", "f"])
    assert "header { position: sticky; top: 0;" in text
    controls = text[text.index("<header>") : text.index("</header>")]
    assert re.search(
        r'<input id="step" type="range" min="0" max="5" value="5"', controls
    )
    assert '<button id="play"' in controls
    assert re.findall(r"<button>(.*?)</button>", controls) == [
        *("a", "b", "&lt;c&gt;", "d", "&lt;/script&gt;", "f")
    ]
    assert "4: </script>" not in text


def test_the_page_opens_at_the_last_step_that_is_not_padding(seen, tmp_path):
    shortened = Trace(**vars(seen))
    shortened.mask = seen.mask.copy()
    shortened.mask[0, 4:] = False
    assert 'max="5" value="3"' in written(tmp_path, shortened)
    memory = figure_of(seen, first=3).data[-3]
    np.testing.assert_allclose(memory.z, seen.memory[0, 3], rtol=1e-6)


def test_every_panel_has_a_colour_bar_in_the_colours_of_the_plots(seen):
    figure = figure_of(seen)
    heatmaps = [part for part in figure.data if part.type == "heatmap"]
    assert len(heatmaps) == 2 + 2 * 2 + 2 + 3  # each head has its own scale
    for part in heatmaps:
        axis = getattr(figure.layout, part.xaxis.replace("x", "xaxis"))
        assert 0.0 < part.colorbar.x - axis.domain[1] < 0.02
        assert part.colorscale[0][1] in ("#ffffff", DIVERGING[0])
    assert heatmaps[2].colorscale[1][1] == WRITE_HEADS[0]
    assert heatmaps[4].colorscale[1][1] == READ_HEADS[0]
    assert [axis.ticktext for axis in (figure.layout.yaxis6,)] == [
        ("write 2", "write 1", "free 2", "free 1", "allocation 2", "allocation 1")
    ]


def test_tokens_are_on_the_time_axis(seen):
    figure = figure_of(seen, labels=[*"abcdef"])
    assert figure.layout.xaxis6.ticktext == tuple("abcdef")
    assert (
        figure.layout.xaxis6.showticklabels and not figure.layout.xaxis5.showticklabels
    )


def test_a_frame_moves_every_panel_to_its_step(seen):
    frame = figure_of(seen).frames[2]
    *boxes, memory, first_links, _ = frame.data
    assert frame.name == "2" and len(boxes) == 6
    assert all((min(box.x), max(box.x)) == (1.5, 2.5) for box in boxes)
    np.testing.assert_allclose(memory.z, seen.memory[0, 2], rtol=1e-6)
    np.testing.assert_allclose(first_links.z, seen.link[0, 2, 0], rtol=1e-6)


def test_the_three_most_probable_classes_of_a_step_are_shown(seen, tmp_path):
    logits = np.log([[[0.1, 0.4, 0.2, 0.3]] * 6] * 2)
    names = ["ape", "bee", "<cat>", "dog"]
    chances = panels.probabilities(seen, 1, names, logits)
    over_time = panels.over_time(seen, None, 1, names, logits)
    figure = Sheet(over_time, [], None, Ranking(names, chances)).figure(0)
    bars = figure.data[-1]
    assert bars.text == ("&lt;cat&gt;  0.20", "dog  0.30", "bee  0.40")
    np.testing.assert_allclose(bars.x, [0.2, 0.3, 0.4])
    text = written(tmp_path, seen, classes=names, logits=logits)
    assert "bee  0.40" in text and "3 most probable classes" in text


def test_a_page_of_a_sparse_memory_shows_the_slots_in_use(rng, tmp_path):
    cell = keras_dnc.SAMCell(3, 8, memory_size=500, word_size=4, num_reads=2)
    cell.build((None, 5))
    report(trace(cell, rng.normal(size=(2, 6, 5))), tmp_path / "memory.html")
    text = (tmp_path / "memory.html").read_text()
    assert "reads of 2 heads" in text and "links of" not in text


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
        document.querySelectorAll("#tokens button")[4].click();
        await new Promise(done => setTimeout(done, 1000));
        const memory = page._fullData.filter(part => part.type == "heatmap").at(-3).z;
        const box = page._fullData.find(part => part.mode == "lines").x[0];
        const top = () => document.querySelector("header").getBoundingClientRect().top;
        window.scrollTo(0, 300);
        document.body.dataset.found =
            `${box} ${memory[3][1]} ${top()} ${slider.value} ${now.textContent}`;
    });</script></body>"""
    before, after = page.read_text().rsplit("</body>", 1)
    page.write_text(before + script + after)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--no-first-run"]
    command += ["--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r'data-found="(\S+) (\S+) (\S+) (\S+) (.*?)"', shown).groups()
    box, value, top, step, name = found
    assert (float(box), float(top), step, name) == (3.5, 0.0, "4", "step 4: e")
    assert float(value) == pytest.approx(seen.memory[0, 4, 3, 1], rel=1e-5)
    assert "main-svg" in shown
