"""Cells of known sizes with weights large enough that gates move."""

import numpy as np
from keras import ops

import keras_dnc

SIZES = {"memory_size": 7, "word_size": 4, "num_reads": 2}


def random_cell(rng, input_size=5, **arguments):
    """A built `DNCCell` whose weights are drawn from `rng`, N(0, 0.5)."""
    cell = keras_dnc.DNCCell(3, controller=8, **{**SIZES, **arguments})
    cell.build((None, input_size))
    for variable in cell.trainable_variables:
        variable.assign(rng.normal(0.0, 0.5, variable.shape))
    return cell


def oracle_weights(cell):
    """The cell's weights, in float64 and as the oracle names them."""

    def pair(dense, columns=slice(None)):
        kernel, bias = (np.array(w, "float64") for w in dense.get_weights())
        return kernel[..., columns], bias[columns]

    interface = cell.access.interface
    controller = {
        weight.name: np.array(ops.convert_to_numpy(weight), "float64")
        for weight in cell.controller.weights
    }
    normalized = {"interface_norm": pair(interface.norm)} if interface.normalize else {}
    return {
        **controller,
        **normalized,
        "interface": {
            name: pair(interface.dense, columns)
            for name, columns in interface.columns.items()
        },
        "output": pair(cell.output_linear),
    }
