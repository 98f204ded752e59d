"""Questions about graphs that a network reads edge by edge (Graves et al. 2016).

The network reads the edges of a graph in random order as triples (source, edge,
target), then a question, and answers with triples. This package needs `networkx`:
`pip install keras_dnc[graphs]`.

Reading order: `triples` (edges as vectors), `random_graphs`, `task` (the phases of an
episode), `traversal`, `shortest_path`, `inference`, `family` (trees and relations),
`transport` (networks of stations).
"""

from keras_dnc.tasks.graphs.family import family_relations
from keras_dnc.tasks.graphs.family import family_tree
from keras_dnc.tasks.graphs.inference import InferenceTask
from keras_dnc.tasks.graphs.random_graphs import random_graph
from keras_dnc.tasks.graphs.shortest_path import ShortestPathTask
from keras_dnc.tasks.graphs.task import Asked
from keras_dnc.tasks.graphs.task import GraphTask
from keras_dnc.tasks.graphs.task import Score
from keras_dnc.tasks.graphs.transport import read_transport_network
from keras_dnc.tasks.graphs.traversal import TraversalTask
from keras_dnc.tasks.graphs.triples import Labels
from keras_dnc.tasks.graphs.triples import Triple
from keras_dnc.tasks.graphs.triples import numbers_of
from keras_dnc.tasks.graphs.triples import triples_of
from keras_dnc.tasks.graphs.triples import vectors_of

__all__ = [
    "Asked",
    "GraphTask",
    "InferenceTask",
    "Labels",
    "Score",
    "ShortestPathTask",
    "TraversalTask",
    "Triple",
    "family_relations",
    "family_tree",
    "numbers_of",
    "random_graph",
    "read_transport_network",
    "triples_of",
    "vectors_of",
]
