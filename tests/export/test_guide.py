"""What stands beside an export is true, and its requests work when they are copied."""

import json
import re

import numpy as np
import pytest

from keras_dnc.export import guide
from tests.export.servers import grpc_server
from tests.export.servers import rest_server
from tests.numbers import assert_close

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.slow]


def requests_of(folder):
    """The programs in an export's README: by REST, by gRPC, step by step."""
    text = (folder / "README.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_signature_json_says_what_the_saved_model_takes_and_gives(exported):
    export = exported("ntm")
    said = json.loads((export.folder / "signature.json").read_text())
    assert (said["model"], said["version"]) == ("ntm", 1)
    assert set(said["signatures"]) == set(export.loaded.signatures)
    for name, signature in said["signatures"].items():
        served = export.signature(name)
        sides = served.structured_input_signature[1], served.structured_outputs
        for side, specs in zip(("inputs", "outputs"), sides, strict=True):
            assert signature[side] == {
                key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
                for key, spec in specs.items()
            }


@pytest.mark.parametrize("name", ["dnc", "tokens", "words"])
def test_the_rest_request_of_the_readme_works(exported, name):
    export = exported(name)
    program, _, _ = requests_of(export.folder)
    with rest_server(export, name) as target:
        url = target.removesuffix(f"/v1/models/{name}")
        found = {}
        exec(program.replace("http://localhost:8501", url), found)
    assert_close(found["outputs"][1], export.expected(found["arrays"]["inputs"])[1])


@pytest.mark.parametrize("name", ["dnc", "tokens", "words"])
def test_the_grpc_request_of_the_readme_works_and_round_trips(exported, name):
    export = exported(name)
    _, program, _ = requests_of(export.folder)
    with grpc_server(export, name) as target:
        address = target.removeprefix("grpc://").removesuffix(f"/{name}")
        found = {}
        exec(program.replace("localhost:8500", address), found)
    assert_close(found["outputs"][1], export.expected(found["arrays"]["inputs"])[1])
    request = found["request"]
    again = type(request).FromString(request.SerializeToString())
    assert again == request
    specs = guide.signatures(export.folder)["serving_padded"]["inputs"]
    assert set(again.inputs) == set(specs)


def test_the_stream_of_the_readme_works(exported):
    export = exported("ntm")
    *_, program = requests_of(export.folder)
    with rest_server(export, "ntm") as target:
        url = target.removesuffix("/v1/models/ntm")
        found = {}
        exec(program.replace("http://localhost:8501", url), found)
    expected = export.expected(np.zeros((2, 3, 5), "float32"))
    assert_close(found["outputs"], expected[:, -1])
