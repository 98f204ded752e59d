"""Family trees, and relations as sequences of edges (Graves et al. 2016, figure 3)."""

import itertools
from collections.abc import Sequence

import networkx
import numpy as np

from keras_dnc.arguments import positive_integer

_PARENT = ("mother", "father")
_CHILD = ("son1", "son2", "daughter1", "daughter2")
_SIBLING = ("brother1", "brother2", "sister1", "sister2")
_EDGES = {label: (label,) for label in _PARENT + _CHILD} | {
    sibling: ("mother", child) for sibling, child in zip(_SIBLING, _CHILD, strict=True)
}
_NAMES = {
    "daughter": "Ada Beth Cleo Dora Elsa Faye Gina Hope Iris Jane Kate Lily Mary Nora "
    "Olga Pia Rosa Sara Tess Uma Vera Wanda Xenia Yara Zoe Anna Bella Clara",
    "son": "Adam Bob Carl Dan Eric Finn Gus Hugo Ian Jack Karl Leo Max Ned Otto Paul "
    "Ralf Sam Tom Udo Vic Will Xaver Yuri Zack Alan Bert Colin",
}
_GENDERS = {"son": "male", "daughter": "female"}


def family_tree(
    num_generations: int, max_children: int, rng: np.random.Generator
) -> networkx.DiGraph:
    """Draw a family tree that begins with one couple.

    Every couple but those of the last generation has 1 to `max_children` children, who
    marry somebody from outside. Edges lead from children to their `mother` and
    `father`, and from parents to `son1`, `son2`, `daughter1` and `daughter2`.

    Args:
        num_generations: Number of generations, at least 2.
        max_children: Greatest number of children of a couple, at most 4.
        rng: `numpy.random.Generator`; the same state gives the same tree.

    Returns:
        `networkx.DiGraph` whose nodes are names of persons, with the attributes
        `gender`, `"male"` or `"female"`, `generation`, from 0 on, and `position`, where
        `plot_graph_reasoning` draws them: a row for each generation. Edges have the
        attribute `label`.

    Raises:
        ValueError: `num_generations` is below 2, or `max_children` is not an integer
            from 1 to 4.

    Example:
        >>> tree = family_tree(3, 2, np.random.default_rng(0))
        >>> sorted({label for _, _, label in tree.edges(data="label")})[:2]
        ['daughter1', 'father']
    """
    if positive_integer("num_generations", num_generations) < 2:
        raise ValueError(
            "Argument `num_generations` must be at least 2. "
            f"Received: num_generations={num_generations}"
        )
    if positive_integer("max_children", max_children) > len(_CHILD):
        raise ValueError(
            f"Argument `max_children` must be at most {len(_CHILD)}. "
            f"Received: max_children={max_children}"
        )
    tree = _Tree(rng)
    couples = [(tree.person("daughter", 0), tree.person("son", 0))]
    tree.place(couples[0], 0)
    for generation in range(1, num_generations):
        children = [
            child
            for couple in couples
            for child in tree.children(couple, max_children, generation)
        ]
        row = children
        if generation < num_generations - 1:
            couples = [tree.marry(child, generation) for child in children]
            row = list(itertools.chain.from_iterable(couples))
        tree.place(row, generation)
    return tree.graph


class _Tree:
    """A family tree in the making."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.graph = networkx.DiGraph()
        self._counts = dict.fromkeys(_NAMES, 0)
        self._names = {
            kind: rng.permutation(names.split()).tolist()
            for kind, names in _NAMES.items()
        }

    def person(self, kind: str, generation: int) -> str:
        """Add a person with a new name; a name that is used again has a number."""
        names, count = self._names[kind], self._counts[kind]
        self._counts[kind] += 1
        again, index = divmod(count, len(names))
        name = names[index] if not again else f"{names[index]} {again + 1}"
        self.graph.add_node(name, gender=_GENDERS[kind], generation=generation)
        return name

    def children(
        self, couple: tuple[str, str], max_children: int, generation: int
    ) -> list[str]:
        """Add the children of a couple, and the edges between them."""
        number = int(self.rng.integers(1, max_children + 1))
        labels = sorted(self.rng.permutation(_CHILD)[:number].tolist())
        counts = dict.fromkeys(_NAMES, 0)
        found = []
        for kind in (label.rstrip("12") for label in labels):
            counts[kind] += 1
            child = self.person(kind, generation)
            for parent, up in zip(couple, _PARENT, strict=True):
                self.graph.add_edge(child, parent, label=up)
                self.graph.add_edge(parent, child, label=f"{kind}{counts[kind]}")
            found.append(child)
        return found

    def place(self, people: Sequence[str], generation: int) -> None:
        """Set the positions of a generation: a row, below the one before."""
        for column, person in enumerate(people):
            position = column - (len(people) - 1) / 2, -float(generation)
            self.graph.nodes[person]["position"] = position

    def marry(self, child: str, generation: int) -> tuple[str, str]:
        """Return a couple, mother first: a child and somebody from outside."""
        if self.graph.nodes[child]["gender"] == "female":
            return child, self.person("son", generation)
        return self.person("daughter", generation), child


def family_relations() -> dict[str, tuple[str, ...]]:
    """Return relations of two to four edges in a family tree.

    They are the ancestors up to the fourth generation, the grandchildren, the siblings
    of a person, of the parents and of the grandparents, and the children of the
    siblings of a person and of the parents: great-uncles, cousins, nieces and so on.

    A sibling is reached through the mother: `brother1` is `("mother", "son1")`. From
    the first son, this path leads to himself.

    Returns:
        Dict from 120 relations, such as `"mother's brother1's daughter2"`, to the
        labels of their edges.

    Example:
        >>> relations = family_relations()
        >>> len(relations), relations["father's mother"]
        (120, ('father', 'mother'))
        >>> relations["mother's brother1's daughter2"]
        ('mother', 'mother', 'son1', 'daughter2')
    """
    kinds = [
        *((_PARENT,) * generations for generations in (2, 3, 4)),
        (_CHILD, _CHILD),
        *((_PARENT,) * generations + (_SIBLING,) for generations in (0, 1, 2)),
        *((_PARENT,) * generations + (_SIBLING, _CHILD) for generations in (0, 1)),
    ]
    relations = {}
    for kind in kinds:
        for kin in itertools.product(*kind):
            relations["'s ".join(kin)] = tuple(
                itertools.chain.from_iterable(_EDGES[name] for name in kin)
            )
    return relations
