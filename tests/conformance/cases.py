"""Every cell of the package joins the suite with one line.

A case is a function that makes a fresh cell with outputs of size 10; it takes what a
test has to fix, such as `memory_size`, `controller` or `dtype`. All sizes differ from
each other and from the batch, so that a swapped axis fails.
"""

import keras
import pytest

import keras_dnc
from examples.stack_memory import StackAccess
from keras_dnc.cells.access_cell import split_options

BACKEND = keras.backend.backend()
SMALL = {"memory_size": 7, "word_size": 4, "num_reads": 2}


def _dnc(**arguments):
    return keras_dnc.DNCCell(10, **{"controller": 8, **SMALL, **arguments})


def _dnc_with_sparse_links(**arguments):
    links = min(3, arguments.get("memory_size", SMALL["memory_size"]))
    return _dnc(**{"link_top_k": links, **arguments})


def _ntm(**arguments):
    sizes = {"controller": 8, "num_writes": 3, **SMALL}
    return keras_dnc.NTMCell(10, **{**sizes, **arguments})


def _sparse(kind, **arguments):
    slots = arguments.get("memory_size", SMALL["memory_size"])
    sizes = {"controller": 8, "top_k": min(2, slots), **SMALL}
    if kind is keras_dnc.SDNCCell:
        sizes["link_top_k"] = min(8, slots)
    return kind(10, **{**sizes, **arguments})


def around(kind, **arguments):
    """Make a cell around a memory that has no cell of its own."""
    own, options = split_options({**SMALL, **arguments})
    controller = options.pop("controller", 8)
    return keras_dnc.AccessCell(10, controller, kind(**options), **own)


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
    "dnc": lambda **kw: _dnc(**kw),
    "dnc-sparse-links": lambda **kw: _dnc_with_sparse_links(**kw),
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
    "pushdown": lambda **kw: around(StackAccess, **kw),
}

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
    "sam-skip": lambda **kw: _sparse(
        keras_dnc.SAMCell, **{"controller": keras_dnc.SkipController(8, 6), **kw}
    ),
}

# Every loop takes JAX seconds to compile, and PyTorch runs step by step. The other
# cases have states of every kind; each paper's own tests compare these cells' numbers.
SKIPPED = set() if BACKEND == "tensorflow" else {"dnc-sparse-links", "sdnc-lsh", "mann"}
SKIPPED_IN_FITS = {"dnc-improved-two-writes-gru"} if BACKEND == "jax" else set()


def case(name, *others, skipped=SKIPPED, **options):
    """Give `pytest.param` of one cell, and of what else the test takes."""
    reason = f"its kind of state is in another case; slow on {BACKEND}"
    marks = [pytest.mark.skipif(name in skipped, reason=reason)]
    make = {**CELLS, **STATES}[name]
    return pytest.param(make, *others, **{"id": name, "marks": marks, **options})


def cells(*names, skipped=SKIPPED):
    """Run a test with the named cells, each a function `make`."""
    return pytest.mark.parametrize(
        "make", [case(name, skipped=skipped) for name in names]
    )


every_cell = cells(*CELLS)
every_state = cells(*CELLS, *STATES)
# One cell per kind of state, for what takes a fit, the dearest thing to compile. Where
# Keras does the same with every cell, a test names two of them.
trained_cell = cells(
    *("ntm", "dnc-improved-two-writes-gru", "sam"), skipped=SKIPPED_IN_FITS
)
ntm_and_dnc, ntm_and_sam = cells("ntm", "dnc"), cells("ntm", "sam")
