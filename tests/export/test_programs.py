"""The programs around serving run: a story told to a model, a request, a load."""

import json
import os
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


SERVICE = """
import numpy as np, service, sys, tensorflow as tf
machine = service.MemoryNetwork.inner()
rng, largest = np.random.default_rng(0), 0.0
specs = machine.whole.structured_input_signature[1]["inputs"]
for batch, time in ((1, 1), (3, 9), (9, 17)):
    inputs = rng.integers(0, 3, (batch, time, *specs.shape[2:]))
    words = np.array(["", "mary", "home"])[inputs]
    given = tf.constant(words if specs.dtype == "string" else inputs, specs.dtype)
    outputs, expected = machine.run(given), machine.whole(inputs=given)["outputs"]
    largest = max(largest, np.max(np.abs(outputs - expected)))
print(machine.compiled is not None, largest)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dnc", "sam", "tokens", "words"])
def test_the_service_pads_and_answers_as_the_export(exported, name, tmp_path):
    pytest.importorskip("bentoml")
    path = str(ROOT / "examples" / "serving")
    done = subprocess.run(
        [sys.executable, "-c", SERVICE],
        env={**os.environ, "MODEL": str(exported(name).folder), "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    compiled, largest = done.stdout.split()[-2:]
    assert compiled == str(name != "words")
    assert float(largest) < 1e-5


@pytest.mark.soak
def test_a_server_bears_load(exported, tmp_path):
    """`service.py` behind BentoML: every answer of a minute's load is compared."""
    pytest.importorskip("bentoml")
    arguments = ["--export", exported("ntm").folder, "--seconds", 30]
    arguments += ["--output", tmp_path / "found.json"]
    said = run("benchmarks/serving.py", *arguments, cwd=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    one, many = found["1, JSON"], found["32, JSON"]
    assert one["requests"] > 100 and many["requests"] > 10, said
    assert set(found["refused"].values()) == {400}
    assert one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"]
