"""The programs around serving run: a story told to a model, a request, a load."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from keras_dnc import saved_models
from tests.export.conftest import Exported
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
@pytest.mark.parametrize("arguments", [[], ["--exported"]], ids=["model", "exported"])
def test_serve_babi(tmp_path, arguments):
    said = run("examples/serve_babi.py", *arguments, cwd=tmp_path, input=STORY)
    answer, unknown, *unfinished, new, other, words = said.splitlines()[2:]
    assert answer.startswith("kitchen ")
    assert unknown == "Not read, because of unknown words: spaceship. Try `words`."
    assert unfinished == 2 * ["End a statement with `.` and a question with `?`."]
    assert new == "A new story."
    assert other.startswith("office ")
    assert "kitchen" in words.split()


@pytest.mark.slow
def test_serve_babi_asks_a_server(tmp_path):
    import tensorflow as tf

    folder = saved_models.serving_folder_of("babi-dnc")
    export = Exported(None, folder, tf.saved_model.load(str(folder)))
    with rest_server(export, "babi-dnc") as url:
        arguments = ["--target", url]
        said = run("examples/serve_babi.py", *arguments, cwd=tmp_path, input=STORY)
    assert said.splitlines()[2].startswith("kitchen ")


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
