"""Every cell of the package joins the suite with one line.

A case is a function that makes a fresh cell with outputs of size 10; it takes what a
test has to fix, such as `memory_size`, `controller` or `dtype`. All sizes differ from
each other and from the batch, so that a swapped axis fails.
"""

import keras
import pytest

import keras_dnc

SMALL = {"memory_size": 7, "word_size": 4, "num_reads": 2}


def _dnc(**arguments):
    return keras_dnc.DNCCell(10, **{"controller": 8, **SMALL, **arguments})


def _ntm(**arguments):
    sizes = {"controller": 8, "num_writes": 3, **SMALL}
    return keras_dnc.NTMCell(10, **{**sizes, **arguments})


def _sparse(kind, **arguments):
    top_k = min(2, arguments.get("memory_size", 7))
    sizes = {"controller": 8, "top_k": top_k, **SMALL}
    return kind(10, **{**sizes, **arguments})


def _gru():
    return keras.layers.GRUCell(9)


def _stack():
    cells = [keras.layers.LSTMCell(11), keras.layers.GRUCell(12)]
    return keras.layers.StackedRNNCells(cells)


SHARP = {"control_biases": {"read_strengths": 5.0}}

IMPROVED = {
    "masked_content": True,
    "mask_floor": 0.1,
    "deallocate": True,
    "link_sharpness": True,
    "normalize": True,
    "control_biases": {"write_gate": -1.0},
}

CELLS = {
    "dnc-sparse-links": lambda **kw: _dnc(**{"link_top_k": 3, **kw}),
    "dnc-improved-two-writes-gru": lambda **kw: _dnc(
        **{
            "num_writes": 2,
            "controller": _gru(),
            "strength": "oneplus",
            **IMPROVED,
            **kw,
        }
    ),
    "ntm": lambda **kw: _ntm(**kw),
    "mann": lambda **kw: keras_dnc.MANNCell(10, **{"controller": 8, **SMALL, **kw}),
    "sam": lambda **kw: _sparse(keras_dnc.SAMCell, **kw),
    "sdnc-lsh": lambda **kw: _sparse(keras_dnc.SDNCCell, **{"search": "lsh", **kw}),
}

if keras.backend.backend() != "tensorflow":
    # Every loop takes JAX seconds to compile, and PyTorch runs step by step. The cases
    # left have states of every kind; numbers are tested in the papers' rooms.
    del CELLS["dnc-sparse-links"], CELLS["sdnc-lsh"], CELLS["mann"]

# More controllers, and more of states: for what depends on these alone.
STATES = {
    "ntm-learned": lambda **kw: _ntm(**{"initial_memory": "learned", **kw}),
    "mann-sharp": lambda **kw: keras_dnc.MANNCell(
        10, **{"controller": 8, "strength": "softplus", **SHARP, **SMALL, **kw}
    ),
    "dnc-stacked": lambda **kw: _dnc(**{"controller": _stack(), **kw}),
    "dnc-content-normalized": lambda **kw: _dnc(
        **{"temporal_links": False, "normalize": True, **kw}
    ),
    "dnc-feed-forward": lambda **kw: _dnc(
        **{"controller": keras_dnc.FeedForwardController(8), **kw}
    ),
}

# One cell per kind of state for what takes a fit, the dearest thing to compile; the
# first of them alone, where Keras does the same with every cell.
TRAINED = {name: CELLS[name] for name in ("ntm", "dnc-improved-two-writes-gru", "sam")}
if keras.backend.backend() == "jax":
    del TRAINED["dnc-improved-two-writes-gru"]

trained_cell = pytest.mark.parametrize("make", TRAINED.values(), ids=TRAINED)
any_cell = pytest.mark.parametrize("make", [*TRAINED.values()][:1], ids=[*TRAINED][:1])
every_cell = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
every_state = pytest.mark.parametrize(
    "make", [*CELLS.values(), *STATES.values()], ids=[*CELLS, *STATES]
)
