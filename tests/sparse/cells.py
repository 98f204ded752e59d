"""Sparse cells of known sizes, with weights large enough that gates move."""

import numpy as np

import keras_dnc

SIZES = {"memory_size": 11, "word_size": 4, "num_reads": 2, "top_k": 3}
CELLS = {"SAMCell": {}, "SDNCCell": {"link_top_k": 5}}


def random_cell(rng, kind="SAMCell", input_size=5, **arguments):
    """A built cell whose weights are drawn from `rng`, N(0, 0.5)."""
    sizes = {**SIZES, **CELLS[kind], **arguments}
    cell = getattr(keras_dnc, kind)(3, **{"controller": 8, **sizes})
    cell.build((None, input_size))
    for variable in cell.trainable_variables:
        variable.assign(rng.normal(0.0, 0.5, variable.shape))
    return cell


def dense(slots, weights, memory_size):
    """Rows over all slots, of slots and their weights, `(..., count)`."""
    rows = np.zeros((*slots.shape[:-1], memory_size))
    for place in np.ndindex(slots.shape):
        rows[(*place[:-1], int(slots[place]))] += weights[place]
    return rows
