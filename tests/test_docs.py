"""Every program in the documentation runs as it stands there, page by page."""

import importlib.util
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_dnc

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.parent.name != "api"]
RESULTS = ROOT / "examples" / "results" / "README.md"
WITH_PICTURES = [*PAGES, ROOT / "README.md", ROOT / "examples" / "README.md", RESULTS]
WITH_PICTURES += [RESULTS.parent / "graphs" / "README.md"]
BACKENDS = {"TensorFlow": "tensorflow", "JAX": "jax"}  # titles of programs for one only


def python_of(page):
    """List the programs of a page that run on this backend."""
    found = re.findall(
        r'^```python(?: title="(\w+)")?\n(.*?)^```', page.read_text(), re.S | re.M
    )
    here = keras.backend.backend()
    return [code for title, code in found if BACKENDS.get(title, here) == here]


@pytest.mark.slow
@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(DOCS).with_suffix(""))
)
def test_the_programs_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for code in python_of(page):
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_values_of_product_keys_have_a_learning_rate_of_their_own():
    layers, *optimizers = python_of(DOCS / "cells" / "product_key.md")
    names = {}
    exec(compile(layers, "product_key.md", "exec"), names)
    assert len(optimizers) == 2
    for program in optimizers:
        exec(compile(program, "product_key.md", "exec"), names)
        if not names["model"].compiled:
            continue  # this Keras has no `OptimizerMap`
        changes = changes_of_an_update(names["model"])
        # The first step of Adam is the learning rate.
        assert all(moved < 5e-4 for name, moved in changes if name != "values")
        (moved,) = [moved for name, moved in changes if name == "values"]
        assert 9e-4 < moved < 2e-3


def changes_of_an_update(model):
    """List pairs of the name of a weight and its largest change in one update."""
    before = [weight.numpy() for weight in model.trainable_variables]
    tokens = np.array([[1, 2, 3, 0]])
    fitted = model.fit(tokens, np.ones((1, 4, 1000)), verbose=0)
    assert fitted.history["loss"][0] > 0.0
    after = model.trainable_variables
    return [
        (weight.name, np.max(np.abs(weight.numpy() - old)))
        for weight, old in zip(after, before, strict=True)
    ]


def test_every_picture_is_there():
    pictures = [
        page.parent / name
        for page in WITH_PICTURES
        for name in re.findall(r"!\[[^\]]+\]\((.*?)\)", page.read_text())
    ]
    assert len(pictures) > 10
    assert [path for path in pictures if not path.exists()] == []


def test_notebooks_are_those_of_their_pages():
    nbformat = pytest.importorskip("nbformat")
    path = DOCS / "notebooks.py"
    spec = importlib.util.spec_from_file_location("notebooks", path)
    spec.loader.exec_module(notebooks := importlib.util.module_from_spec(spec))
    for page in notebooks.PAGES:
        written = notebooks.NOTEBOOKS / f"{page.stem}.ipynb"
        expected = nbformat.writes(notebooks.notebook_of(page)) + "\n"
        assert written.read_text() == expected, "run docs/notebooks.py"
        code = [
            c.source for c in nbformat.read(written, 4).cells if c.cell_type == "code"
        ]
        assert code and all(compile(program, page.name, "exec") for program in code)
        links = re.findall(r"\]\(([^):#]+)\)", written.read_text())
        assert [link for link in links if not (written.parent / link).exists()] == []


def test_pictures_of_the_documentation_are_those_of_results_and_benchmarks():
    results = [RESULTS.parent / f"{name}.png" for name in ("copy", "graphs", "shrdlu")]
    for original in (*results, ROOT / "benchmarks" / "speed.png"):
        copy = DOCS / "pictures" / original.name
        assert copy.read_bytes() == original.read_bytes(), "run docs/pictures.py"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    missing = [
        p for p in PAGES if f": {p.relative_to(DOCS).as_posix()}" not in navigation
    ]
    assert missing == []


def test_pages_load_nothing_from_other_sites():
    extra = (ROOT / "mkdocs.yml").read_text().split("extra_css:")[1]
    assert "//" not in extra


def test_every_public_name_stands_in_the_reference():
    pages = (ROOT / "docs" / "api").glob("*.md")
    named = set(
        re.findall(r"::: keras_dnc\.(\w+)\n", "".join(p.read_text() for p in pages))
    )
    assert set(keras_dnc.__all__) - named == set()


def test_every_room_is_on_the_map():
    text = (DOCS / "design.md").read_text()
    rooms = {p.name for p in (ROOT / "keras_dnc").iterdir()}
    for room in rooms - {"__init__.py", "__pycache__", "py.typed"}:
        assert re.search(rf"^\| `keras_dnc/{re.escape(room)}/?` \|", text, re.M), room


SMALL = {"controller": 4, "memory_size": 4, "word_size": 3}
SEQUENCES = np.ones((2, 5, 3), "float32")


def layer_of(cell=None, **options):
    return keras_dnc.MemoryRNN(cell or keras_dnc.DNCCell(2, **SMALL), **options)


def model_of(**options):
    inputs = keras.Input((None, 3))
    return keras.Model(inputs, layer_of(**options)(inputs))


def compiled_model():
    model = model_of(return_sequences=True)
    model.compile("adam", "mse")
    return model


def untraceable_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def trace(model, layer=None):
    from keras_dnc.inspect.trace import trace

    return trace(model, SEQUENCES, layer=layer)


def two_memories():
    inputs = keras.Input((None, 3))
    first = layer_of(keras_dnc.DNCCell(3, **SMALL), return_sequences=True, name="first")
    return keras.Model(inputs, layer_of(name="second")(first(inputs)))


def export(model):
    from keras_dnc.export import export_for_serving

    return export_for_serving(model, "serving/example")


def load(name):
    from keras_dnc import saved_models

    return saved_models.load(name)


def generator():
    yield SEQUENCES, SEQUENCES[..., :2]


# From the beginning of the message on the page to a call that raises it.
MISTAKES = {
    "Argument `states` must be given": lambda: keras_dnc.DNCCell(2)(SEQUENCES),
    "Argument `controller` must be": lambda: keras_dnc.DNCCell(
        2, controller=keras.layers.LSTM(8)
    ),
    "Argument `cell` must be an RNN cell": lambda: layer_of(keras.layers.LSTM(8)),
    "Argument `normalise`": lambda: keras_dnc.DNCCell(2, normalise=True),
    "Argument `num_reads`": lambda: keras_dnc.DNCCell(2, num_reads=-1),
    "Argument `link_sharpness`": lambda: keras_dnc.DNCCell(
        2, temporal_links=False, link_sharpness=True
    ),
    "Argument `control_biases`": lambda: keras_dnc.DNCCell(
        2, control_biases={"read_strength": 5.0}
    ),
    "Argument `dtype` of the RNN": lambda: layer_of(
        keras_dnc.SAMCell(2, 4, memory_size=16), dtype="mixed_float16"
    )(SEQUENCES),
    "Argument `cell` must not stack": lambda: layer_of(
        [keras_dnc.SAMCell(2, 4, memory_size=16) for _ in range(2)]
    ),
    "Argument `num_slots`": lambda: keras_dnc.ProductKeyMemory(4, 1000),
    "Argument `top_k` must be at most the square root": lambda: (
        keras_dnc.ProductKeyMemory(4, 16, top_k=8)
    ),
    "Argument `sequences`": lambda: layer_of()(SEQUENCES[:, 0]),
    "Argument `mask`": lambda: layer_of()(SEQUENCES, mask=np.ones((2, 4), bool)),
    "Argument `initial_state`": lambda: layer_of()(
        SEQUENCES, initial_state=layer_of(return_state=True)(np.ones((4, 5, 3)))[1:]
    ),
    "Argument `states` must be a list": lambda: layer_of()(
        SEQUENCES, initial_state=[np.zeros((2, 2), "float32")]
    ),
    "Arguments `target` and `output`": lambda: keras_dnc.SequenceCrossentropy()(
        np.ones((2, 5, 3)), np.ones((2, 5, 2))
    ),
    "When using `stateful=True`": lambda: model_of(stateful=True),
    "Argument `batches`": lambda: keras_dnc.fit_or_resume(
        compiled_model(), generator(), "run", monitor="loss", epochs=1
    ),
    "Argument `model` must hold a layer": lambda: keras_dnc.resize_memory(
        untraceable_model(), 8
    ),
    "Argument `layer` must name": lambda: trace(two_memories()),
    "Argument `model_or_cell`": lambda: trace(untraceable_model()),
    "Argument `name` must be one of": lambda: load("babi"),
}


def without_values(message):
    """Leave out colours, Keras's frame and what was received, which differ."""
    message = re.sub(r"\x1b\[\d+m", "", message)
    message = re.sub(r"^Exception encountered when calling .*\n+", "", message)
    return message.split("\n\nArguments received")[0].split(" Received:")[0].strip()


@pytest.mark.only("tensorflow", "jax")
@pytest.mark.parametrize("beginning", MISTAKES)
def test_messages_of_troubleshooting_are_those_that_are_raised(beginning):
    page = (DOCS / "troubleshooting.md").read_text()
    with pytest.raises(ValueError) as found:
        MISTAKES[beginning]()
    message = without_values(str(found.value))
    assert message.startswith(beginning)
    numbers = re.compile(r"\d+")  # sizes, and numbers in generated names
    assert numbers.sub("#", message) in numbers.sub("#", page)


@pytest.mark.only("jax")
def test_exporting_on_jax_is_refused_as_troubleshooting_says():
    page = (DOCS / "troubleshooting.md").read_text()
    with pytest.raises(ValueError) as found:
        export(model_of())
    assert without_values(str(found.value)) in page
