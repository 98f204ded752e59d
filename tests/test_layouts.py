"""Memories distributed over devices equal those of one device, and stay where they are.

Keras distributes on JAX only, and a process has a fixed number of virtual devices:
`tests.sharded_memory` runs in a process of its own.
"""

import json
import os
import subprocess
import sys

import keras
import pytest

from keras_dnc.layouts import memory_layout

NAMES = ["SAM", "SAM, lsh", "SDNC", "product keys"]


@pytest.fixture(scope="module")
def found():
    program = [sys.executable, "-m", "tests.sharded_memory"]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    environment.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)  # they save the copies
    done = subprocess.run(
        program, env=environment, stdout=subprocess.PIPE, timeout=900, check=True
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return {result["name"]: result for result in results}


@pytest.mark.slow
@pytest.mark.only("jax")
@pytest.mark.parametrize("name", NAMES)
def test_four_devices_compute_what_one_computes(found, name):
    assert found[name]["difference"] < 1e-5


@pytest.mark.slow
@pytest.mark.only("jax")
@pytest.mark.parametrize("name", NAMES)
def test_no_memory_travels_between_devices(found, name):
    from tests.sharded_memory import SLOTS
    from tests.sharded_memory import WORD

    travelling = found[name]["travelling"]
    assert travelling and max(travelling) < SLOTS * WORD / 2


@pytest.mark.slow
@pytest.mark.only("jax")
@pytest.mark.parametrize("name", ["SAM", "SAM, lsh", "SDNC"])
def test_a_device_holds_its_part_of_the_memory(found, name):
    alone, of_four = found[name]["bytes"]
    assert of_four < 0.35 * alone


def test_a_layout_needs_a_mesh_and_one_of_its_axes():
    with pytest.raises(ValueError, match="`device_mesh` must be a.*Received: .*'cpu'"):
        memory_layout("cpu")
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "slots"], ["cpu:0"])
    with pytest.raises(ValueError, match="`axis` must be the name.*axis='model'"):
        memory_layout(mesh)
    assert memory_layout(mesh, axis="slots")["x/product_key_memory_1/values"].axes == (
        "slots",
        None,
    )
