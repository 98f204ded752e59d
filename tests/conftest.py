"""One place that knows which backend a test runs on."""

import keras
import numpy as np
import pytest


def pytest_collection_modifyitems(config, items):
    """Leave out tests that are marked for other backends alone."""
    backend = keras.backend.backend()
    left_out = [item for item in items if not _runs_on(item, backend)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _runs_on(item, backend)]


def _runs_on(item, backend):
    marks = item.iter_markers("only")
    return all(backend in mark.args for mark in marks)


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True, scope="module")
def _room_for_compiled_code():
    """Let go of what JAX has compiled: thousands of loops exhaust its address space."""
    yield
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(7)
