"""Interface: one dense layer, split and squashed."""

import json

import numpy as np
import pytest

import keras_dnc
from tests.numbers import assert_close
from tests.numbers import to_numpy

CONTROLS = {
    "key": ((2, 3), "linear"),
    "gate": ((4,), "sigmoid"),
    "mode": ((2, 5), "softmax"),
}


@pytest.fixture
def interface():
    interface = keras_dnc.Interface(CONTROLS)
    interface.build((None, 6))
    return interface


def test_each_control_is_its_own_linear_map(interface, rng):
    inputs = rng.normal(size=(7, 6)).astype("float32")
    controls = to_numpy(interface(inputs))
    kernel, bias = interface.dense.get_weights()
    raw = {n: inputs @ kernel[:, c] + bias[c] for n, c in interface.columns.items()}
    assert_close(controls["key"], raw["key"].reshape(7, 2, 3))
    assert_close(controls["gate"], 1.0 / (1.0 + np.exp(-raw["gate"])))
    mode = np.exp(raw["mode"].reshape(7, 2, 5))
    assert_close(controls["mode"], mode / mode.sum(-1, keepdims=True))


def test_columns_follow_the_order_of_controls(interface):
    assert interface.columns == {
        "key": slice(0, 6),
        "gate": slice(6, 10),
        "mode": slice(10, 20),
    }


def test_the_config_gives_the_controls_back(interface):
    twin = keras_dnc.Interface.from_config(interface.get_config())
    assert dict(twin.controls) == dict(interface.controls)


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_sizes_must_be_positive_integers(size):
    with pytest.raises(
        ValueError, match=r"`controls\['key'\].shape` must be a positive"
    ):
        keras_dnc.Interface({"key": ((2, size), "linear")})


BIASES = {"gate": -2.0, "mode": [0.0, 3.0, 0.0, 0.0, -1.0]}


@pytest.mark.parametrize("normalize", [False, True])
def test_controls_start_at_their_biases(normalize):
    interface = keras_dnc.Interface(CONTROLS, normalize, control_biases=BIASES)
    controls = to_numpy(interface(np.zeros((7, 6), "float32")))
    assert_close(controls["key"], np.zeros((7, 2, 3)))
    assert_close(controls["gate"], np.full((7, 4), 1.0 / (1.0 + np.exp(2.0))))
    mode = np.exp(BIASES["mode"])
    assert_close(controls["mode"], np.broadcast_to(mode / mode.sum(), (7, 2, 5)))


def test_the_config_gives_the_biases_back():
    biases = {"gate": np.float32(-2.0), "mode": np.arange(5)}
    interface = keras_dnc.Interface(CONTROLS, control_biases=biases)
    config = json.loads(json.dumps(interface.get_config()))
    twin = keras_dnc.Interface.from_config(config)
    assert dict(twin.control_biases) == {"gate": -2.0, "mode": [0, 1, 2, 3, 4]}
    config["control_biases"]["mode"][0] = 9.0
    assert twin.control_biases["mode"][0] == 0.0


@pytest.mark.parametrize(
    "biases,message",
    [
        ({"gates": 1.0}, r"a dict from some of \['gate', 'key', 'mode'\]"),
        (5.0, "`control_biases` must be a dict"),
        ({"mode": [1.0, 2.0]}, r"`control_biases\['mode'\]` .* last axis of \(2, 5\)"),
        ({"gate": float("nan")}, "finite number"),
        ({"gate": "2"}, "finite number"),
        ({"gate": True}, "finite number"),
    ],
)
def test_biases_must_fit_a_control(biases, message):
    with pytest.raises(ValueError, match=message):
        keras_dnc.Interface(CONTROLS, control_biases=biases)
