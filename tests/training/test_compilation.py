"""Compiled programs are kept on disk, and a second start reads them."""

import os
import subprocess
import sys

import keras
import pytest

import keras_dnc

PROGRAM = """
import sys, keras, numpy as np, keras_dnc
keras.utils.set_random_seed(0)
keras_dnc.cache_compiled_programs(sys.argv[1])
if keras.backend.backend() == "jax":  # which keeps nothing that compiles in a second
    import jax
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model.compile("sgd", "mse", jit_compile=True)
model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
"""


def run(folder):
    names = ("TF_XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    environment = {name: v for name, v in os.environ.items() if name not in names}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    subprocess.run(command, check=True, env=environment, cwd=folder.parent)
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.only("tensorflow", "jax")
def test_a_second_start_reads_what_the_first_has_compiled(tmp_path):
    first = run(tmp_path / "programs")
    assert first, "nothing was kept"
    assert first == run(tmp_path / "programs"), "something was written again"


@pytest.mark.only("tensorflow")
def test_a_call_that_comes_too_late_is_refused_on_tensorflow(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug=false")
    keras.ops.convert_to_numpy(keras.ops.ones(2) + 1.0)
    with pytest.raises(RuntimeError, match="before TensorFlow computes anything"):
        keras_dnc.cache_compiled_programs("programs")


@pytest.mark.only("tensorflow")
def test_other_flags_of_tensorflow_stay_and_its_own_folder_wins(monkeypatch):
    from keras_dnc.training import compilation

    monkeypatch.setattr(compilation, "tensorflow_has_started", lambda: False)
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug=false")
    keras_dnc.cache_compiled_programs("programs")
    flags = os.environ["TF_XLA_FLAGS"].split()
    assert flags[0] == "--tf_xla_clustering_debug=false"
    assert flags[1].endswith(f"={os.path.abspath('programs')}")
    keras_dnc.cache_compiled_programs("others")
    assert os.environ["TF_XLA_FLAGS"].split() == flags


@pytest.mark.only("torch")
def test_the_folder_of_torch_compile_is_set_unless_there_is_one(monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keras_dnc.cache_compiled_programs("programs")
    keras_dnc.cache_compiled_programs("others")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == os.path.abspath("programs")
