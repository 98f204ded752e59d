"""Random renaming of the entities of a story, which makes many stories of one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dnc.tasks.babi.encoding import EncodedStory
from keras_dnc.tasks.babi.encoding import Vocabulary

ENTITIES = {  # task: groups of words that may take each other's place
    16: (
        ("bernhard", "brian", "greg", "julius", "lily"),
        ("frog", "lion", "rhino", "swan"),
        ("gray", "green", "white", "yellow"),
    ),
    17: (
        ("blue", "pink", "red", "yellow"),
        ("rectangle", "sphere", "square", "triangle"),
    ),
    19: (("bathroom", "bedroom", "garden", "hallway", "kitchen", "office"),),
}


class Renaming:
    """Exchange words of a group at random, each in the same way all over a story.

    In tasks 16, 17 and 19, a network over-fits the training stories before it learns
    the rule behind them. With other names in every epoch it cannot.

    Args:
        vocabulary: `Vocabulary` of the stories.
        groups: Dict from the number of a task to groups of words that may take each
            other's place. Defaults to `None`, for those tasks of `ENTITIES` whose words
            are all in the vocabulary: persons, animals and colours of task 16, colours
            and shapes of task 17, places of task 19.

    Call arguments:
        story: `EncodedStory`.
        rng: `numpy.random.Generator`.

    Returns:
        `EncodedStory` with renamed tokens and targets. Stories of other tasks are
        returned unchanged.

    Raises:
        ValueError: `vocabulary` is no `Vocabulary`, or `groups` is no such dict, has a
            word that is not in the vocabulary, or a word twice in a task.

    Example:
        >>> vocabulary = Vocabulary(["bill", "fred", "went"])
        >>> renaming = Renaming(vocabulary, {1: [["bill", "fred"]]})
        >>> tokens = np.array(vocabulary.encode(["fred", "went"]))
        >>> story = EncodedStory(1, tokens, 0 * tokens, weights=np.zeros(2))
        >>> rng = np.random.default_rng(0)
        >>> {vocabulary.decode(renaming(story, rng).tokens)[0] for _ in range(20)} == {
        ...     "bill", "fred"
        ... }
        True
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        groups: Mapping[int, Sequence[Sequence[str]]] | None = None,
    ) -> None:
        if not isinstance(vocabulary, Vocabulary):
            raise ValueError(
                "Argument `vocabulary` must be a `Vocabulary`. "
                f"Received: vocabulary={vocabulary!r}"
            )
        if groups is None:
            known = {*vocabulary.words}
            groups = {t: g for t, g in ENTITIES.items() if known.issuperset(sum(g, ()))}
        self.size = len(vocabulary)
        self.groups = _indices(vocabulary, groups)

    def __call__(self, story: EncodedStory, rng: np.random.Generator) -> EncodedStory:
        """Return the story with other names."""
        if story.task not in self.groups:
            return story
        names = np.arange(self.size)
        for indices in self.groups[story.task]:
            names[indices] = rng.permutation(indices)
        tokens, targets = (
            names[words].astype(words.dtype) for words in (story.tokens, story.targets)
        )
        return story._replace(tokens=tokens, targets=targets)


def _indices(vocabulary: Vocabulary, groups: Any) -> dict[int, list[np.ndarray]]:
    """Return the indices of the words of each group, or raise a `ValueError`."""
    known = {*vocabulary.words[2:]}
    if not isinstance(groups, Mapping) or not all(
        _are_groups(of_task, known) for of_task in groups.values()
    ):
        raise ValueError(
            "Argument `groups` must be a dict from numbers of tasks to lists of lists "
            "of words of the vocabulary, each word once in a task. "
            f"Received: groups={groups!r}"
        )
    return {
        task: [np.array(vocabulary.encode(words)) for words in of_task]
        for task, of_task in groups.items()
    }


def _are_groups(groups: Any, known: set[str]) -> bool:
    """Return whether these are lists of known words, each word once."""
    if not isinstance(groups, list | tuple):
        return False
    words = [word for group in groups for word in group]
    return known.issuperset(words) and len({*words}) == len(words)
