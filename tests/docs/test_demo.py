"""The demo page, in a real browser: its numbers are those of Python."""

import functools
import http.server
import importlib.util
import json
import pathlib
import shutil
import threading

import keras
import numpy as np
import pytest

from keras_dnc.inspect import views
from keras_dnc.inspect.trace import trace
from keras_dnc.tasks import babi
from keras_dnc.tasks.babi import Line
from keras_dnc.tasks.babi import Story

ROOT = pathlib.Path(__file__).parent.parent.parent
DEMO = ROOT / "docs" / "demo"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SECONDS = 120  # to wait for what takes a few seconds on an idle machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("tensorflow"),
    pytest.mark.xdist_group("demo"),
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs Chromium and chromedriver"
    ),
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def builder():
    """The module `docs/demo/build.py`."""
    spec = importlib.util.spec_from_file_location("build_demo", DEMO / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo(tmp_path_factory, builder):
    """The folder of the page, with all that `make docs` builds for it."""
    pytest.importorskip("tf2onnx")
    folder = tmp_path_factory.mktemp("site") / "demo"
    shutil.copytree(DEMO, folder)  # what is built already is built no second time
    try:
        builder.build(folder / "built")
    except builder.MissingError as error:
        pytest.skip(f"needs npm and its registry: {error}")
    return folder


@pytest.fixture(scope="module")
def served(demo):
    """Give the address of the folder above the page."""
    handler = functools.partial(_Quiet, directory=demo.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(SECONDS)
    yield driver
    driver.quit()


class Page:
    """A page in a browser; `one` and `all` find elements by CSS selectors."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def run(self, script):
        """Give the value of an asynchronous function body."""
        body = f"(async () => {{{script}}})().then(arguments[arguments.length - 1])"
        return self.browser.execute_async_script(body)

    def wait(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, SECONDS).until(lambda _: condition())

    def write(self, text):
        self.one("#text").clear()
        self.one("#text").send_keys(text)
        self.wait(lambda: self.one("#position").get_attribute("value") == "0")

    def play(self):
        """Play the story to its end, as fast as it goes."""
        self.one("#speed option:last-child").click()
        self.one("#play").click()
        last = self.one("#position").get_attribute("max")
        self.wait(lambda: self.one("#position").get_attribute("value") == last)

    def copied(self):
        self.wait(lambda: "wrong" in self.one("#copy-result").text)
        return int(self.one("#copy-result").get_attribute("data-wrong"))

    def fits(self):
        return self.run(
            "return document.documentElement.scrollWidth <= window.innerWidth"
        )

    def errors(self):
        return [e for e in self.browser.get_log("browser") if e["level"] == "SEVERE"]


@pytest.fixture
def page(browser, served):
    page = Page(browser, f"{served}/demo/")
    page.wait(lambda: page.one("#demo").is_displayed())
    yield page
    assert page.errors() == []


@pytest.fixture(scope="module")
def about(demo):
    return json.loads((demo / "built" / "demo.json").read_text())


@pytest.fixture(scope="module")
def expected(about):
    """Give words, logits and the steps read of the first ready story, by Keras."""
    vocabulary = babi.Vocabulary(about["stories"]["words"][2:])
    text = about["stories"]["examples"][0]["text"]
    words = " ".join(babi.tokenize(text)).replace("?", "? -").split()
    folder = ROOT / "saved_models" / about["stories"]["name"]
    model = keras.models.load_model(folder / "model.keras")
    tokens = np.array([vocabulary.encode(words)], "int32")
    logits = keras.ops.convert_to_numpy(model(tokens))[0]
    return words, logits, views.steps_read(trace(model, tokens), 0), vocabulary


def test_answers_and_probabilities_are_those_of_python(page, expected):
    words, logits, _, vocabulary = expected
    page.play()
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    times = [time for time, word in enumerate(words) if word == "-"]
    buttons = page.all("button.word")
    assert len(buttons) == len(times) > 1
    for time, button in zip(times, buttons, strict=True):
        button.click()
        shown = page.all("#answer li")
        assert len(shown) == 3
        best = vocabulary.words[logits[time].argmax()]
        assert button.text == shown[0].get_attribute("data-word") == best
        for item in shown:
            (number,) = vocabulary.encode([item.get_attribute("data-word")])
            found = float(item.get_attribute("data-probability"))
            assert found == pytest.approx(probabilities[time, number], abs=1e-4)


def test_arcs_lead_to_the_words_that_steps_read_finds(page, expected):
    words, _, shares, _ = expected
    page.play()
    page.all("button.word")[1].click()
    (_, answer, *_) = [time for time, word in enumerate(words) if word == "-"]
    start = max(t for t in range(answer) if words[t] == ".") + 1
    reads = shares[start : answer + 1, :, :start]
    rows = page.all("#reads tr[data-share]")
    assert len(rows) == min((reads >= 0.05).sum(), 8) > 1
    assert len(page.all("#arcs path")) == len(rows)
    for row, share in zip(rows, np.sort(reads, axis=None)[::-1], strict=False):
        place = [int(row.get_attribute(f"data-{n}")) for n in ("from", "head", "to")]
        found = float(row.get_attribute("data-share"))
        assert found == pytest.approx(shares[tuple(place)], abs=1e-4)
        assert found == pytest.approx(share, abs=1e-4)


def test_every_ready_story_is_answered_rightly(page, about):
    """The longest one, played; the others are checked when the page is built."""
    examples = about["stories"]["examples"]
    longest = max(examples, key=lambda example: len(example["expected"]))
    page.all("#example option")[examples.index(longest)].click()
    page.play()
    right = [about["stories"]["words"][number] for number in longest["expected"]]
    assert [button.text for button in page.all("button.word")] == right
    assert right[-1] in page.one("#announcement").get_attribute("textContent")


def test_the_page_opens_with_the_first_story_read(page):
    last = page.one("#position").get_attribute("max")
    page.wait(lambda: page.one("#position").get_attribute("value") == last)
    assert "%" in page.one("#answer").text


def test_heat_maps_show_the_steps_that_have_run(page):
    titles = [figure.text for figure in page.all("#pictures figcaption strong")]
    reads = [f"Read head {head}" for head in range(1, 5)]
    assert titles == ["Write head", *reads, "Usage"]
    page.wait(lambda: page.one("#position").get_attribute("value") != "0")
    page.one("#restart").click()
    page.one("#step").click()
    page.wait(lambda: page.one("#position").get_attribute("value") == "1")
    opaque = page.run(
        "return [...document.querySelectorAll('#pictures canvas')].map(canvas => {"
        "const {width, height} = canvas;"
        "const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);"
        "return data.filter((value, place) => place % 4 == 3 && value).length / height"
        "})"
    )
    assert opaque == [1] * len(titles)  # one column


def test_unknown_words_and_characters_are_named(page):
    page.write("Zaphod went to the kitchen!")
    page.wait(lambda: "zaphod" in page.one("#problems").text)
    message = page.one("#problems").text
    assert "“!”" in message and "no question" in message
    assert "Put a “.” or “?” after “kitchen”." in message
    assert page.one("#problems").get_attribute("role") == "alert"
    assert [word.text for word in page.all(".word.unknown")] == ["zaphod"]


def test_texts_are_encoded_as_stories_are_in_python(page):
    lines = (
        Line("Mary took the milk."),
        Line("Mary's half-brother slept."),
        Line("What is Mary carrying?", "milk,apple", (1,)),
        Line("Mary slept."),
        Line("Where is Mary?", "home", (1,)),
    )
    story = Story(task=8, lines=lines)
    vocabulary = babi.Vocabulary.from_stories([story])
    encoded = babi.encode_story(story, vocabulary, thinking_steps=2)
    text = "\n".join(line.text for line in lines).replace("carrying?", "carrying? - -")
    model = {"words": vocabulary.words, "unknown": babi.UNKNOWN, "answer": "-"}
    model |= {"blank": "_", "thinking_steps": 2}
    found = page.run(
        "const {encode} = await import('./reading.js');"
        f"return encode({json.dumps(text)}, {json.dumps(model)})"
    )
    assert [token["index"] for token in found] == encoded.tokens.tolist()
    is_answer = [token["kind"] == "answer" for token in found]
    assert is_answer == (encoded.weights > 0).tolist()
    assert max(token["line"] for token in found) == len(lines) - 1


def test_the_weights_of_a_sparse_memory_are_spread_over_its_slots(page):
    found = page.run(
        "const {headWeights} = await import('./model.js');"
        "const state = {memory: {dims: [1, 4, 9]},"
        "  read_weights: {dims: [1, 2, 2], data: Float32Array.of(0.5, 0.25, 1, 0)},"
        "  read_slots: {dims: [1, 2, 2], data: Float32Array.of(3, 1, 0, 0)}};"
        "return [headWeights(state, 'read').map(head => [...head]),"
        "  headWeights(state, 'write')]"
    )
    assert found == [[[0, 0.25, 0, 0.5], [1, 0, 0, 0]], None]


def test_a_pattern_of_20_steps_is_copied_without_a_wrong_bit(page):
    page.one("#copy-tab").click()
    assert page.copied() == 0
    assert page.one("#length-shown").text == "20 steps"
    assert page.one("#copy-result").text == "0 wrong bits of 160."


def test_the_length_can_be_chosen_with_the_keyboard(page, about):
    page.one("#copy-tab").click()
    page.copied()
    page.one("#length").send_keys("\ue010")  # End
    bits = about["copy"]["longest"] * about["copy"]["bits"]
    page.wait(lambda: page.one("#copy-result").text.endswith(f"of {bits}."))
    assert page.copied() == 0


def test_tabs_follow_the_arrow_keys(page):
    page.one("#stories-tab").send_keys("\ue014")  # right arrow
    assert page.one("#copy").is_displayed() and not page.one("#stories").is_displayed()
    focused = page.browser.switch_to.active_element
    assert focused.get_attribute("id") == "copy-tab"
    assert focused.get_attribute("aria-selected") == "true"
    focused.send_keys("\ue012")  # left arrow
    assert page.one("#stories").is_displayed()


def test_every_control_has_a_name(page):
    for tab, least in (("stories", 15), ("copy", 7)):
        page.one(f"#{tab}-tab").click()
        found = page.all("button, select, textarea, input, canvas")
        controls = [control for control in found if control.is_displayed()]
        assert len(controls) >= least
        assert [c.get_attribute("id") for c in controls if not c.accessible_name] == []


def test_a_phone_shows_the_page_without_scrolling_sideways(browser, served):
    metrics = {"width": 375, "height": 812, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page = Page(browser, f"{served}/demo/")
        page.wait(lambda: page.one("#demo").is_displayed())
        page.play()
        assert page.run("return window.innerWidth") == 375
        assert page.fits()
        page.one("#copy-tab").click()
        page.copied()
        assert page.fits()
        assert page.errors() == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_npm_nothing_is_built(builder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(builder.MissingError, match="npm is not installed"):
        builder.build(tmp_path / "built")
    assert list(tmp_path.iterdir()) == []


def test_without_its_models_the_page_says_how_to_build_them(browser, served, demo):
    sources = shutil.ignore_patterns("built")
    shutil.copytree(demo, demo.parent / "bare", ignore=sources)
    page = Page(browser, f"{served}/bare/")
    page.wait(lambda: page.one("#missing").is_displayed())
    assert "make docs" in page.one("#missing").text
    assert not page.one("#demo").is_displayed()
    page.errors()  # the file that is not there
