"""How many of the slots that exact search finds does hashing find?

    KERAS_BACKEND=jax python benchmarks/recall.py

Memories of random normal rows, keys at a given cosine to one of them. For `LSHSearch`
with so many tables, two shares: of keys whose best slot by `ExactSearch` is found best,
and of the best four slots that are among the four found. Writes `recall.json`, which
`sparse.py --parts recall` puts on the page.
"""

import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import numpy as np

import keras_dnc

HERE = pathlib.Path(__file__).parent
WORD, KEYS, CHUNK = 32, 512, 256
COSINES = (1.0, 0.99, 0.95, 0.9, 0.8)
TABLES = (8, 16, 32)


def filled_index(search, memory):
    """The index of a memory that was written a few rows at a time."""
    size = memory.shape[1]
    search.build((None, size, WORD))
    index = [np.zeros((1, *shape), "float32") for shape in search.state_shapes(size)]

    def update(index, start):
        slots = start + np.arange(CHUNK)[None]
        rows = jax.lax.dynamic_slice_in_dim(memory, start, CHUNK, axis=1)
        return search.update(index, slots, 0.0 * rows, rows, None), None

    starts = np.arange(0, size, CHUNK)
    fill = jax.jit(lambda index: jax.lax.scan(update, index, starts)[0])
    return fill(index)


def keys_near(rng, memory, asked, cosine):
    """Keys at a cosine to the rows that are asked for."""
    rows = memory[0, asked]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    noise = rng.normal(size=rows.shape)
    noise -= np.sum(noise * rows, axis=1, keepdims=True) * rows
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    keys = cosine * rows + np.sqrt(1.0 - cosine**2) * noise
    return keys[None].astype("float32")


def shares(search, memory, index, keys):
    """Return the share of best slots, and of the best four, that hashing finds."""
    exact = keras_dnc.ExactSearch()
    norms = np.linalg.norm(memory, axis=2)
    find = jax.jit(lambda *tensors: search.find(*tensors, top_k=4))
    find_all = jax.jit(lambda *tensors: exact.find(*tensors, top_k=4))
    hashed, there = (np.asarray(part)[0] for part in find(memory, index, keys))
    wanted = np.asarray(find_all(memory, [norms], keys)[0])[0]
    same = (wanted[:, :, None] == hashed[:, None, :]) & there[:, None, :]
    best = same[:, 0, 0]
    return [float(np.mean(best)), float(np.mean(np.any(same, axis=2)))]


def main():
    """Measure and write."""
    found = {}
    for slots in (2**10, 2**14, 2**17, 2**20):
        rng = np.random.default_rng(0)
        memory = rng.normal(size=(1, slots, WORD)).astype("float32")
        asked = rng.integers(0, slots, KEYS)
        found[slots] = {}
        for tables in TABLES:
            search = keras_dnc.LSHSearch(num_tables=tables)
            index = filled_index(search, memory)
            found[slots][tables] = {}
            for cosine in COSINES:
                keys = keys_near(rng, memory, asked, cosine)
                found[slots][tables][cosine] = shares(search, memory, index, keys)
            print(slots, tables, found[slots][tables], flush=True)
    (HERE / "recall.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
