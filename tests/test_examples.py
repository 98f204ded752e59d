"""Every example runs, with few steps."""

import io
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

from keras_dnc.tasks import babi
from keras_dnc.tasks.babi import prepare

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.slow]
EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
DUMMY = pathlib.Path(babi.__file__).parent / "dummy_data"


def run(name, *arguments, cwd, code=0):
    return run_python([EXAMPLES / name, *map(str, arguments)], cwd, code)


def run_on_jax_alone(name, *arguments, cwd):
    """Run an example as where JAX alone is installed, which compiles sooner."""
    pytest.importorskip("jax")
    program = f"""
import runpy, sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
sys.argv = {[name, *map(str, arguments)]!r}
runpy.run_path({str(EXAMPLES / name)!r}, run_name="__main__")
"""
    return run_python(["-c", program], cwd, 0, KERAS_BACKEND="jax", **QUICK)


def run_python(command, cwd, code, **environment):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_every_example_is_tested_and_short():
    tests = pathlib.Path(__file__).parent.rglob("test_*.py")
    text = "".join(path.read_text() for path in tests)
    for path in EXAMPLES.rglob("*.py"):
        if path.parent.name == "results":
            continue
        assert path.name in text, path.name
        assert len(path.read_text().splitlines()) < 150, path.name


def test_stack_memory(tmp_path):
    said = run("stack_memory.py", cwd=tmp_path)
    assert float(re.search(r"Wrong bits .*: ([0-9.]+)%", said)[1]) < 25.0


def test_train_repeat_copy(tmp_path):
    said = run(
        "train_repeat_copy.py",
        *("--epochs", 1, "--steps", 3, "--test-size", 8, "--output", "out"),
        cwd=tmp_path,
        code=1,  # three updates solve nothing, and it says so
    )
    assert "Wrong bits in 8 fresh sequences:" in said
    assert "largest difference to the model" in said
    assert "Not solved" in said
    assert (tmp_path / "out" / "memory.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "serving" / "1" / "saved_model.pb").exists()


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """A portable file of three stories of each task."""
    folder = tmp_path_factory.mktemp("stories")
    data, texts = folder / "babi.json.gz", folder / "texts" / "en-10k"
    texts.mkdir(parents=True)
    for file in (DUMMY / "en-10k").glob("*.txt"):
        (texts / file.name).write_text(3 * file.read_text())
    folders = [
        "--data",
        texts.parent,
        "--data-dir",
        folder / "datasets",
        "--output",
        data,
    ]
    prepare.main([str(folder) for folder in folders])
    return data


def test_train_babi_trains_once(stories, tmp_path):
    sizes = {"memory_size": 4, "word_size": 4}
    arguments = ["--tasks", "1,8", "--data", stories, "--output", "out", "--seeds", "3"]
    arguments += ["--controller", 8, "--cell", json.dumps(sizes), "--updates", 2]
    arguments += ["--held-out", 1, "--thinking-steps", 1, "--epochs", 2]
    said = run_on_jax_alone("train_babi.py", *arguments, cwd=tmp_path)
    for line in ("single supporting fact", "lists/sets", "mean", "failed tasks"):
        assert line in said
    out = tmp_path / "out" / "seed3"
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["test_error_percent"]) == {"1", "8"}
    assert metrics["epochs"] == 2
    assert metrics["minutes"] > 0.0
    # As if it had been killed while it was tested.
    (out / "metrics.json").unlink()
    again = run_on_jax_alone("train_babi.py", *arguments, cwd=tmp_path)
    assert "Epoch" not in again
    assert "single supporting fact" in again
    assert (out / "model.keras").exists()


def test_resize_memory(tmp_path):
    arguments = ["--epochs", 1, "--steps", 3, "--batch-size", 4, "--controller", 8]
    arguments += ["--memory-size", 4, "--max-length", 3, "--larger", 6]
    arguments += ["--lengths", "3,5"]
    said = run_on_jax_alone("resize_memory.py", *arguments, cwd=tmp_path)
    assert "4 slots" in said and "6 slots" in said
    metrics = tmp_path / "runs" / "resize_memory" / "metrics.json"
    assert set(json.loads(metrics.read_text())) == {"3", "5"}


def test_train_sparse_recall_goes_on_where_it_was(tmp_path):
    arguments = [*("--max-items", 4, "--threshold", 9, "--steps", 2, "--test-size", 4)]
    arguments += [*("--batch-size", 2, "--memory-size", 16, "--goal", 9)]
    arguments += [*("--output", "out")]
    run_on_jax_alone("train_sparse_recall.py", *arguments, "--minutes", 0, cwd=tmp_path)
    out = tmp_path / "out"
    progress = json.loads((out / "progress.json").read_text())
    assert progress["epochs"] == 1 and progress["items"] == 4
    said = run_on_jax_alone("train_sparse_recall.py", *arguments, cwd=tmp_path)
    assert "Up to 4 items" in said and "Up to 2 items" not in said
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["epochs"] == 2
    assert [items for items, _ in metrics["levels"]] == [2, 4]
    assert 0.0 < metrics["bits_per_bit"] < 9.0
    said = run("train_sparse_recall.py", *arguments, "--seed", 1, cwd=tmp_path, code=1)
    assert "with other settings" in said


def test_train_babi_memn2n_does_not_do_again_what_is_done(stories, tmp_path):
    arguments = ["--tasks", "1,8", "--joint", "--data", stories, "--output", "out"]
    arguments += ["--epochs", 2, "--linear-epochs", 1, "--models", "larger"]
    said = run_on_jax_alone("train_babi_memn2n.py", *arguments, cwd=tmp_path)
    for line in ("single supporting fact", "lists/sets", "mean"):
        assert line in said
    out = tmp_path / "out" / "joint"
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["test_error_percent"]) == {"1", "8"}
    assert set(metrics["held_out_error_percent"]) == {"larger-0"}
    (out / "metrics.json").unlink()
    again = run_on_jax_alone("train_babi_memn2n.py", *arguments, cwd=tmp_path)
    assert "Epoch 1/2" not in again and again.count("larger-0") == 1
    assert len((out / "larger-0" / "log.csv").read_text().splitlines()) == 3
    assert (out / "model.keras").exists()


@pytest.mark.parametrize(
    "task,cell,lengths",
    [("recall", "ntm", {"6", "8", "12", "15"}), ("adding", "lstm", {"50", "100"})],
)
def test_train_algorithm(tmp_path, task, cell, lengths):
    arguments = [*("--cell", cell, "--controller", 8, "--memory-size", 6)]
    arguments += [*("--word-size", 4, "--batch-size", 2, "--steps", 2, "--epochs", 1)]
    arguments += [*("--test-size", 3, "--task", task, "--output", "out")]
    said = run_on_jax_alone("train_algorithm.py", *arguments, cwd=tmp_path)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert f"task  {metrics['metric']}" in said
    assert set(metrics["by_length"]) == {"as trained", *lengths}
    assert metrics["updates"] == 2
    assert (tmp_path / "out" / "learning.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "model.keras").exists()


def test_train_algorithm_trains_on_a_small_version_of_a_task(tmp_path):
    arguments = [*("--cell", "dnc", "--controller", 8, "--memory-size", 4)]
    arguments += [*("--word-size", 4, "--batch-size", 2, "--steps", 2)]
    arguments += [*("--test-size", 3, "--task", "copy", "--output", "out")]
    arguments += ["--bits", 3, "--lengths", "[[1, 2], [2, 5]]"]
    for epochs in (1, 3):
        program = ["train_algorithm.py", *arguments, "--epochs", epochs]
        said = run_on_jax_alone(*program, cwd=tmp_path)
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert set(metrics["by_length"]) == {"as trained", "2", "5"}
        assert metrics["updates"] == 2 * epochs
    assert "Epoch 2/3" in said and "Epoch 1/3" not in said
    with zipfile.ZipFile(tmp_path / "out" / "model.keras") as model:
        sizes = json.loads(model.read("config.json"))["build_config"]
    assert sizes == {"input_shape": [None, None, 4]}
    said = run(*program, "--bits", 4, cwd=tmp_path, code=1)
    assert "{'bits': 3}" in said and "{'bits': 4}" in said
    said = run(*program, "--task", "adding", cwd=tmp_path, code=2)
    assert "task adding takes no --bits" in said


@pytest.fixture
def stations(tmp_path):
    """Tables of a ring of eight stations on two lines."""
    rows = [f"{n},51.{n},-0.{n},Station {n},1,2" for n in range(8)]
    header = "id,latitude,longitude,name,zone,total_lines"
    (tmp_path / "stations.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "lines.csv").write_text("line,name\n1,Ring\n2,Cross\n")
    pairs = [(n, (n + 1) % 8, 1) for n in range(8)] + [(0, 2, 2)]
    rows = [",".join(map(str, pair)) for pair in pairs]
    text = "\n".join(["station1,station2,line", *rows]) + "\n"
    (tmp_path / "connections.csv").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "task,tests",
    [
        ("shortest_path", {"random graphs", "central map"}),
        ("inference", {"random graphs", "family trees"}),
    ],
)
def test_train_graph(stations, tmp_path, task, tests):
    arguments = ["--task", task, *("--units", 4, "--batch-size", 2, "--steps", 2)]
    arguments += [*("--epochs", 1, "--test-size", 3, "--output", "out", "--goal", 0)]
    arguments += ["--map", stations, "--options", '{"memory_size": 8, "num_reads": 1}']
    run_on_jax_alone("train_graph.py", *arguments, cwd=tmp_path)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(metrics["scores"]) == tests
    for score in metrics["scores"].values():
        assert 0.0 <= score["questions"] <= score["triples"] <= 1.0
    assert (tmp_path / "out" / "learning.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "model.keras").exists()


def test_train_shrdlu_does_not_do_again_what_is_done(tmp_path):
    arguments = [*("--units", 8, "--boards", 4, "--steps", 2, "--goal", 0)]
    arguments += [*("--epochs", 2, "--test-size", 40, "--output", "out")]
    arguments += ["--probe-size", 40]
    program = ["train_shrdlu.py", *arguments, "--warm-up", 1]
    said = run_on_jax_alone(*program, cwd=tmp_path)
    assert "Epoch 2/2" in said and "moves_ratio" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    again = run_on_jax_alone(*program, cwd=tmp_path)
    assert "Epoch" not in again
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    said = run("train_shrdlu.py", *arguments, cwd=tmp_path, code=1)
    assert "{'warm_up': 1}" in said and "{'warm_up': 0}" in said
    assert 0.0 <= metrics["scores"]["solved"] <= metrics["scores"]["met"] <= 1.0
    assert metrics["level"] == 1 and metrics["updates"] == 4
    assert set(metrics["probe"]) == {"letter of the last goal", "first move"}
    assert (tmp_path / "out" / "learning.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "model.keras").exists()


@pytest.mark.parametrize("how", [[], ["--pixels", "--cell", "lstm"]])
def test_train_omniglot(tmp_path, how):
    image = pytest.importorskip("PIL.Image")
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
        for character, drawing in itertools.product(range(6), (1, 2)):
            png = io.BytesIO()
            image.new("L", (105, 105), 20 * character).save(png, "PNG")
            alphabet = ("Greek", "Latin")[character % 2]
            name = f"small/{alphabet}/character{character:02}/{drawing:02}.png"
            archive.writestr(name, png.getvalue())
    arguments = [*("--zips", "small.zip", "--test-alphabets", "Latin", "--size", 4)]
    arguments += [*("--classes", 2, "--drawings", 2, "--controller", 8)]
    arguments += [*("--batch-size", 2, "--steps", 2, "--epochs", 1, "--output", "out")]
    arguments += ["--test-size", 3, *how]
    said = run_on_jax_alone("train_omniglot.py", *arguments, cwd=tmp_path)
    assert "6 characters; tested on Latin" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(metrics["accuracy_by_instance"]) == 2
    assert (tmp_path / "out" / "learning.png").stat().st_size > 10_000


def test_train_key_value_table(tmp_path):
    arguments = ["--entries", 64, "--size", 6, "--num-slots", 16, "--top-k", 2]
    arguments += ["--key-dim", 4, "--epochs", 3, "--dense-epochs", 2]
    said = run("train_key_value_table.py", *arguments, "--output", "out", cwd=tmp_path)
    assert "multiplications an entry" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0.0 < metrics["memory"]["usage"]["fraction_used"] <= 1.0
    assert metrics["dense"]["error"] > 0.0
    assert (tmp_path / "out" / "learning.png").stat().st_size > 10_000
