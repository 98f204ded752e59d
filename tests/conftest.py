"""One place that knows which backend a test runs on, and in which tier it is.

Each test is in one tier, which a marker names: `contract` where it compares with layers
and files of Keras, `unit` elsewhere, unless the test is marked with another.
"""

import pathlib

import numpy as np
import pytest

TESTS = pathlib.Path(__file__).parent
CONTRACT = {  # folders and files
    TESTS / "conformance",
    TESTS / "bptt",
    TESTS / "inspect" / "test_trace.py",
    TESTS / "sparse" / "test_training.py",
    TESTS / "test_old_files.py",
}
TIERS = {"unit", "contract", "slow", "soak"}
SLOW = {  # whatever file they are in: XLA compiles them, or TensorFlow traces two loops
    "test_a_memory_of_full_size_gives_the_same_gradients",
    "test_a_stateful_layer_trains",
    "test_nothing_is_said_of_a_memory_that_is_small_or_compiled",
    "test_xla_gives_the_same_gradients",
}


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config, items):
    """Leave out tests that are marked for other backends alone; name every tier."""
    import keras  # not above: xdist's first process, which runs no test, needs none

    backend = keras.backend.backend()
    left_out = [item for item in items if not _runs_on(item, backend)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _runs_on(item, backend)]
    for item in items:
        _put_in_a_tier(item)
        if "exported" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("exported"))  # made once
    # Long tests first, so that two processes end at about the same time.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _runs_on(item, backend):
    marks = item.iter_markers("only")
    return all(backend in mark.args for mark in marks)


def _put_in_a_tier(item):
    named = TIERS & {mark.name for mark in item.iter_markers()}
    if len(named) > 1:
        raise pytest.UsageError(f"{item.nodeid} is in several tiers: {sorted(named)}")
    if named:
        return
    if getattr(item, "originalname", None) in SLOW:
        item.add_marker("slow")
    elif CONTRACT & {item.path, *item.path.parents}:
        item.add_marker("contract")
    else:
        item.add_marker("unit")


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    import keras

    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True, scope="module")
def _room_for_compiled_code():
    """Let go of what JAX has compiled: thousands of loops exhaust its address space."""
    import keras

    yield
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(7)
