"""The benchmarks' report says what was measured, and a worker answers."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report():
    return load("report")


def found(seconds, added):
    timing = {"first": 2.0, "rounds": [seconds, 2 * seconds, 10 * seconds]}
    return {"train": timing, "forward": timing, "added_bytes": added}


def test_ratios_are_those_of_the_rounds_and_go_between_the_marks(report, tmp_path):
    contenders = {"ours": found(0.1, 1e9), report.PEER: found(0.4, 4e9)}
    results = {"sizes": {"A": {"size": {"batch": 2}, "contenders": contenders}}}
    marks = ("<!-- figures -->\n", "<!-- end of figures -->")
    (tmp_path / "README.md").write_text(f"before\n{marks[0]}old{marks[1]}\nafter")
    report.write(results, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "| ours | 200.0 | 200.0 | 1.00 | 2.0 | 4.0 | 4.0 | 0.25 |" in page
    assert page.startswith("before") and page.endswith("after") and "old" not in page
    assert (tmp_path / "speed.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "kind,results",
    [
        ("report", "results"),
        ("report_sparse", "sparse"),
        ("product_key", "product_key"),
        ("serving", "serving"),
    ],
)
def test_the_figures_on_the_page_are_those_of_the_results(kind, results):
    results = json.loads((FOLDER / f"{results}.json").read_text())
    page = (FOLDER / "README.md").read_text()
    lines = list(load(kind).tables(results))
    assert len(lines) > 3
    assert all(line in page for line in lines)


def test_a_pair_is_compared_round_by_round():
    sizes = [{"slots": n, "time": 10, "batch": 2} for n in (4096, 64)]
    pair = {"names": ["ours", "theirs"], "kind": "forward", "sizes": sizes}
    pair |= {"ms": [[1.0, 8.0], [2.0, 10.0], [4.0, 8.0]], "bytes": [1e6, 30e6]}
    *_, timed, held, _ = load("report_sparse").tables({"pairs": [pair]})
    assert "| 2.000 |" in timed and "| 8.000 | 5.00 |" in timed
    assert "4,096, 10, 2" in timed and "ours (forward alone)" in timed
    assert "1.0 MB" in held and "| 30 MB | 30 |" in held


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_a_worker_answers_with_seconds_and_bytes():
    command = [sys.executable, FOLDER / "worker.py", "--size", *"234414"]
    contender = ["--contender", "keras_dnc, TensorFlow with XLA"]
    root = str(FOLDER.parent)
    done = subprocess.run(
        [*map(str, command), *contender],
        input="train\nforward\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert all(a["first"] > a["seconds"] > 0.0 for a in answers)
    assert answers[0]["added_bytes"] > 0
