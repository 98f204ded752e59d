"""Cases that one backend skips, with the reason, as every run shows them."""

import keras
import pytest


def cases_but_on_jax(cases, skipped):
    """List `pytest.param`s of a dict of tuples; JAX skips those named in `skipped`."""
    reason = "the same code as in another case; JAX compiles it for half a minute"
    on_jax = keras.backend.backend() == "jax"
    return [
        pytest.param(
            *values,
            id=name,
            marks=pytest.mark.skipif(on_jax and name in skipped, reason=reason),
        )
        for name, values in cases.items()
    ]
