"""Train a memory network to answer questions about graphs it has never seen.

    python examples/train_graph.py --task traversal
    python examples/train_graph.py --task traversal --map FOLDER

It reads a graph edge by edge, and is asked to follow a path, to infer a relation, or
to find a shortest path. It is trained on random graphs only, and tested on new ones;
on a family tree (inference); and on a transport network, whose tables are in FOLDER.
Started again, it goes on where it was.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_dnc
from keras_dnc.tasks import graphs
from keras_dnc.tasks.levels import Levels

RELATIONS = graphs.family_relations()
TASKS = {
    "traversal": graphs.TraversalTask,
    "inference": lambda *sizes: graphs.InferenceTask(RELATIONS, *sizes),
    "shortest_path": graphs.ShortestPathTask,
}
LESSONS = {  # nodes, edges from a node, edges of a path: least and greatest number
    "traversal": [
        *((2, 2, 1, 1, 1, 1), (3, 3, 1, 1, 1, 1), (3, 3, 2, 2, 1, 1)),
        *((3, 4, 2, 2, 1, 1), (3, 4, 2, 2, 1, 2), (3, 4, 2, 2, 1, 3)),
        *((3, 5, 2, 3, 1, 4), (3, 6, 2, 3, 1, 5), (3, 10, 2, 4, 1, 5)),
        *((5, 10, 2, 4, 1, 6), (10, 15, 2, 4, 1, 6), (10, 20, 2, 4, 1, 6)),
        *((10, 20, 2, 4, 1, 7), (10, 30, 2, 4, 1, 7), (10, 40, 2, 6, 1, 8)),
    ],
    "inference": [
        *((2, 2, 1, 1, 1, 1), (3, 3, 1, 1, 1, 1), (3, 3, 2, 2, 1, 1)),
        *((3, 4, 2, 2, 1, 1), (4, 6, 2, 3, 1, 1), (4, 6, 2, 3, 1, 2)),
        *((5, 8, 2, 4, 1, 2), (5, 8, 2, 4, 1, 3), (5, 10, 2, 4, 1, 3)),
        *((5, 10, 2, 4, 1, 4), (10, 15, 2, 4, 1, 4), (10, 20, 2, 5, 1, 4)),
    ],
    "shortest_path": [
        *((2, 2, 1, 1, 1, 1), (3, 3, 1, 1, 1, 1), (3, 3, 2, 2, 1, 1)),
        *((3, 4, 2, 2, 1, 1), (3, 5, 2, 2, 1, 2), (4, 8, 2, 3, 1, 2)),
        *((4, 8, 2, 3, 1, 3), (5, 10, 2, 3, 1, 3), (5, 10, 2, 4, 1, 4)),
        *((10, 15, 2, 4, 1, 4), (10, 20, 2, 5, 1, 4), (20, 40, 2, 6, 1, 4)),
    ],
}
STEPS = {"traversal": 7, "inference": 4, "shortest_path": 4}  # edges asked in the tests


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--task", default="traversal", choices=TASKS)
    add("--cell", default="sam", choices=["sam", "sdnc", "dnc", "lstm"])
    add("--units", default=128, type=int, help="of the LSTM controller")
    add("--options", default={}, type=json.loads, help="changes to the cell, in JSON")
    add("--lessons", default=None, type=json.loads, help="in JSON")
    add("--goal", default=0.9, type=float, help="fraction right that ends a lesson")
    add("--own", default=0.8, type=float, help="share of own choices, shortest paths")
    add("--batch-size", default=32, type=int)
    add("--learning-rate", default=1e-3, type=float, help="falls to a twentieth")
    add("--steps", default=200, type=int, help="updates in an epoch")
    add("--epochs", default=300, type=int)
    add("--test-size", default=1000, type=int, help="questions of each test")
    add("--map", default=None, help="folder of tables of a transport network")
    add("--output", default=None, type=pathlib.Path, help="runs/graph-TASK-CELL")
    add("--seed", default=0, type=int)
    return parser.parse_args()
