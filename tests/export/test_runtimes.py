"""Other people's runtimes give the model's numbers, and live through bad requests."""

import importlib.util
import itertools
import json
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_dnc.export import export_for_serving
from keras_dnc.export import export_litert
from keras_dnc.export import export_onnx
from keras_dnc.export import portable
from tests.export.c_api import names_in_the_graph
from tests.export.conftest import CELLS
from tests.export.conftest import sequences
from tests.export.servers import signature_defs
from tests.numbers import assert_close

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.slow]
BOX = pathlib.Path(__file__).parent.parent.parent / "saved_models"
CASES = ((1, 1), (33, 2), (2, 300))  # batch, time


def program(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def in_c(exported, tmp_path_factory):
    """What `c_api.py` says of every cell's model, all loaded in one process."""
    models, arrays = {}, {"refused": sequences(3, 4)}
    for name in CELLS:
        export = exported(name)
        names = names_in_the_graph(signature_defs(export.folder))
        models[name] = [str(export.folder), names]
        for batch, time in CASES:
            inputs, case = sequences(batch, time), f"{name}/{batch}x{time}"
            arrays[f"inputs/{case}"] = inputs
            # Compiled: one by one, the operations of 300 steps take seconds.
            arrays[f"expected/{case}"] = export.model.predict_on_batch(inputs)
    path = tmp_path_factory.mktemp("c") / "requests.npz"
    np.savez(path, models=json.dumps(models), **arrays)
    return json.loads(program(pathlib.Path(__file__).parent / "c_api.py", path))


def test_the_c_library_gives_every_models_numbers(in_c):
    assert in_c["imported"] == []
    assert len(in_c["worst"]) == 2 * len(CASES) * len(CELLS)
    assert all(worst < 1e-5 for worst in in_c["worst"].values()), in_c["worst"]


def test_the_c_library_refuses_bad_requests_and_goes_on(in_c):
    said = in_c["refusals"]
    named = dict.fromkeys(("rank", "features"), "for_inputs")
    named |= dict.fromkeys(("length", "lengths"), "for_lengths")
    named |= dict.fromkeys(("rows", "slots", "transposed"), "for_memory")
    named |= {"missing": "memory", "dtype": "to be float but double"}
    assert set(said) == set(named)
    for name, words in named.items():
        assert words in said[name], (name, said[name])


def saved_model_cli(*arguments):
    return program("-m", "tensorflow.python.tools.saved_model_cli", *arguments)


def test_saved_model_cli_shows_the_documented_names(exported):
    said = saved_model_cli("show", "--dir", exported("ntm").folder, "--all")
    for name in ("serving_default", "serving_padded", "step", "initial_state"):
        assert f"signature_def['{name}']" in said
    _, _, step = said.partition("signature_def['step']")
    lines = [line.strip() for line in step.split("signature_def[")[0].splitlines()]
    memory = lines.index("inputs['memory'] tensor_info:")
    assert lines[memory + 1 : memory + 3] == ["dtype: DT_FLOAT", "shape: (-1, 9, 4)"]
    assert "outputs['memory'] tensor_info:" in lines


def test_saved_model_cli_runs_a_signature(exported, tmp_path):
    export, inputs = exported("ntm"), sequences(3, 4)
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "lengths.npy", np.array([4, 2, 1], "int32"))
    arguments = ["--dir", export.folder, "--tag_set", "serve", "--outdir", tmp_path]
    arguments += ["--signature_def", "serving_padded", "--inputs"]
    given = [f"{name}={tmp_path}/{name}.npy" for name in ("inputs", "lengths")]
    saved_model_cli("run", *arguments, ";".join(given))
    outputs, expected = np.load(tmp_path / "outputs.npy"), export.expected(inputs)
    for row, length in enumerate((4, 2, 1)):
        assert_close(outputs[row, :length], expected[row, :length])


@pytest.mark.parametrize("cell", CELLS)
def test_openvino_reads_the_folder_and_gives_the_same_numbers(exported, cell):
    openvino = pytest.importorskip("openvino")
    export, core = exported(cell), openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else it may compute in bfloat16
    compiled = core.compile_model(core.read_model(export.folder), "CPU", exact)
    for batch, time in ((2, 6), (5, 3)):
        inputs = sequences(batch, time)
        (outputs,) = compiled(inputs).values()
        assert_close(outputs, export.expected(inputs))


@pytest.mark.parametrize("cell", CELLS)
def test_onnx_runtime_gives_the_same_numbers(exported, cell, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export = exported(cell)
    path = export_onnx(export.folder, tmp_path / "whole.onnx")
    session = onnxruntime.InferenceSession(path)
    for batch, time in ((2, 6), (5, 3)):
        inputs = sequences(batch, time)
        (outputs,) = session.run(["outputs"], {"inputs": inputs})
        assert_close(outputs, export.expected(inputs))


@pytest.mark.parametrize("cell", ["dnc", "ntm"])
def test_onnx_runtime_goes_step_by_step(exported, cell, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export, inputs = exported(cell), sequences(2, 6)
    path = export_onnx(export.folder, tmp_path / "step.onnx", "step")
    session = onnxruntime.InferenceSession(path)
    takes = {given.name for given in session.get_inputs()}
    gives = [output.name for output in session.get_outputs()]
    start = export.signature("initial_state")
    state = {n: t.numpy() for n, t in start(batch_size=np.int32(2)).items()}
    outputs = []
    for time in range(6):
        request = {"inputs": inputs[:, time], **state}
        answer = session.run(None, {n: a for n, a in request.items() if n in takes})
        answer = dict(zip(gives, answer, strict=True))
        outputs.append(answer.pop("outputs"))
        state = {name.removeprefix("new_"): array for name, array in answer.items()}
    assert_close(np.stack(outputs, 1), export.expected(inputs))


@pytest.mark.parametrize("cell", ["dnc", "mann", "ntm"])
def test_litert_goes_step_by_step(exported, cell, tmp_path):
    import tensorflow as tf

    export, inputs = exported(cell), sequences(2, 6)
    path = export_litert(export.folder, tmp_path / "model.tflite", batch_size=2)
    interpreter = tf.lite.Interpreter(str(path))
    step = interpreter.get_signature_runner("step")
    state, outputs = interpreter.get_signature_runner("initial_state")(), []
    for time in range(6):
        state = step(inputs=inputs[:, time], **state)
        outputs.append(state.pop("outputs"))
    assert_close(np.stack(outputs, 1), export.expected(inputs))


@pytest.mark.parametrize("cell", ["sam", "sdnc"])
def test_what_litert_cannot_do_right_is_not_written(exported, cell, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(RuntimeError, match="LiteRT (gives other numbers|cannot run)"):
        export_litert(exported(cell).folder, path)
    assert not path.exists()


@pytest.mark.parametrize("wrong", [1.0, np.nan])
def test_the_check_of_a_litert_file_sees_every_state(wrong):
    expected = {"memory": np.zeros(3), "usage": np.zeros(3), "outputs": np.zeros(2)}
    found = {**expected, "usage": np.array([0.0, wrong, 0.0])}
    assert not portable._difference(expected, found) <= 1e-4
    assert portable._difference(expected, expected) == 0.0


def test_words_do_not_fit_litert(tmp_path):
    words = [keras.Input((None,), dtype="string"), keras.layers.StringLookup(2)]
    layers = [keras.layers.Embedding(9, 4), keras.layers.LSTM(4)]
    folder = export_for_serving(keras.Sequential([*words, *layers]), tmp_path)
    with pytest.raises(ValueError, match="`folder` .*takes numbers"):
        export_litert(folder, tmp_path / "model.tflite")


def test_a_missing_converter_is_named(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install keras_dnc\[onnx\]"):
        export_onnx(exported("ntm").folder, tmp_path / "x.onnx")


def test_an_unknown_signature_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="`signature` must be one of .*'step'"):
        export_onnx(exported("ntm").folder, tmp_path / "x.onnx", "train")


SAFE_LOAD = """
import sys, keras, keras_dnc, numpy as np
for path in sys.argv[2:]:
    model = keras.models.load_model(path, safe_mode=True)
    if path.startswith(sys.argv[1]):
        inputs, expected = np.load(path + ".in.npy"), np.load(path + ".out.npy")
        assert np.max(np.abs(model.predict(inputs, verbose=0) - expected)) < 1e-5
"""


@pytest.fixture(scope="module")
def keras_files(exported, tmp_path_factory):
    """The box's `.keras` files, and one of every cell, with what it gives."""
    folder = tmp_path_factory.mktemp("keras")
    for cell in CELLS:
        export, inputs = exported(cell), sequences(2, 4)
        export.model.save(folder / f"{cell}.keras")
        np.save(folder / f"{cell}.keras.in.npy", inputs)
        np.save(folder / f"{cell}.keras.out.npy", export.expected(inputs))
    return folder, [*BOX.glob("*/model.keras"), *folder.glob("*.keras")]


def test_files_load_in_safe_mode_in_a_fresh_process(keras_files):
    folder, paths = keras_files
    program("-c", SAFE_LOAD, folder, *paths)


CODE = (".pkl", ".pickle", ".py", ".pyc")


def test_no_artefact_holds_code(exported, keras_files):
    exports = [exported(cell).folder for cell in CELLS]
    for path in itertools.chain(BOX.rglob("*"), *(e.rglob("*") for e in exports)):
        assert path.suffix not in CODE, path
        if path.name == "saved_model.pb":
            assert b"PyFunc" not in path.read_bytes(), path
    _, paths = keras_files
    assert len(paths) > len(CELLS)
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            assert b"Lambda" not in archive.read("config.json"), path
            assert not [n for n in archive.namelist() if n.endswith(CODE)], path
