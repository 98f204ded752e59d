"""The programs around serving run: a story told to a model, a request, a load."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from tests.export.servers import rest_server

pytestmark = pytest.mark.only("tensorflow")
ROOT = pathlib.Path(__file__).parent.parent.parent


def run(name, *arguments, cwd, **options):
    done = subprocess.run(
        [sys.executable, ROOT / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        **options,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


STORY = """Mary went to the kitchen.
John went to the garden.
Where is Mary?
Where is the spaceship?
Where is John
!!
new
John travelled to the office.
Where is John?
words
"""


@pytest.mark.slow
def test_serve_babi(tmp_path):
    said = run("examples/serve_babi.py", cwd=tmp_path, input=STORY)
    _, *said = said.splitlines()
    assert said[:7] == [
        "",
        "",
        "kitchen",
        "I do not know spaceship: try `words`.",
        "A line ends with `.` or `?`.",
        "A line ends with `.` or `?`.",
        "A new story.",
    ]
    assert said[8] == "office"
    assert "kitchen" in said[9].split()


@pytest.mark.slow
def test_a_request_of_requests_alone(exported, tmp_path):
    with rest_server(exported("ntm"), "machine") as url:
        said = run("examples/serving/request.py", url, "--time", 3, cwd=tmp_path)
    differences = re.findall(r"off the whole by (\S+)", said)
    assert len(differences) == 3 and all(float(d) < 1e-5 for d in differences), said


@pytest.mark.soak
def test_a_server_bears_load(exported, tmp_path):
    """`service.py` behind BentoML: every answer of a minute's load is compared."""
    pytest.importorskip("bentoml")
    arguments = ["--export", exported("ntm").folder, "--seconds", 30]
    arguments += ["--output", tmp_path / "found.json"]
    said = run("benchmarks/serving.py", *arguments, cwd=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["1"]["requests"] > 100 and found["32"]["requests"] > 10, said
    assert set(found["refused"].values()) == {400}
    assert found["1"]["p50_ms"] <= found["1"]["p95_ms"] <= found["1"]["p99_ms"]
