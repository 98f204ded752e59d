"""Controls planted by hand, and a memory that plays them step by step."""

import numpy as np
from keras import ops

from keras_dnc.dnc.state import AccessControls
from tests.numbers import to_numpy

SLOTS, WORD = 6, 4
BACKWARD, FORWARD, CONTENT = np.eye(3, dtype="float32")
STRONG = 100.0
NOTHING = (0.0,) * WORD


def controls(
    write=None,
    mode=CONTENT,
    read_key=NOTHING,
    free=0.0,
    by_content=False,
    gate=1.0,
    erase=1.0,
    **options,
):
    """One write by allocation (or by content), or none; and one read."""
    word = NOTHING if write is None else write
    values = {
        "write_vectors": [[word]],
        "erase_vectors": np.full((1, 1, WORD), erase),
        "free_gate": [[free]],
        "allocation_gate": [[0.0 if by_content else 1.0]],
        "write_gate": [[0.0 if write is None else gate]],
        "read_mode": [[mode]],
        "write_keys": [[word]],
        "write_strengths": [[STRONG]],
        "read_keys": [[read_key]],
        "read_strengths": [[STRONG]],
        **options,
    }
    return AccessControls(
        **{
            name: ops.convert_to_tensor(np.asarray(value, "float32"))
            for name, value in values.items()
        }
    )


def play(access, story):
    """Give the word that each step reads, `(steps, word)`, and the last state."""
    state, said = access.get_initial_state(batch_size=1), []
    for step in story:
        words, state, _ = access.step(step, state)
        said.append(to_numpy(words)[0, 0])
    return np.stack(said), to_numpy(state)
