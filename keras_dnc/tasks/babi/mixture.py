"""Stories of several tasks in chosen shares, each task at its own lesson."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.tasks.babi.batches import StoryBatches
from keras_dnc.tasks.babi.batches import checked_examples
from keras_dnc.tasks.babi.batches import with_two_lengths_first
from keras_dnc.tasks.babi.encoding import EncodedStory
from keras_dnc.tasks.babi.encoding import first_questions
from keras_dnc.tasks.babi.encoding import question_ends
from keras_dnc.tasks.task import check_positive_integers

_FEWEST = 10  # a lesson that holds fewer stories than one in so many is made longer


class Lesson(NamedTuple):
    """How much of each story is shown.

    Attributes:
        questions: Stories are cut after so many questions.
        tokens: Stories are cut after the last question within so many tokens.

    Example:
        >>> Lesson(questions=1, tokens=100)
        Lesson(questions=1, tokens=100)
    """

    questions: int
    tokens: int

    def count(self, ends: np.ndarray) -> int:
        """Return the number of questions of a story that the lesson shows.

        Args:
            ends: `(questions,)`, where the answers of the story end, as
                `question_ends` returns them.

        Returns:
            An integer, at least 1.
        """
        within = int(np.searchsorted(ends, self.tokens, side="right"))
        return max(min(within, self.questions), 1)


class StoryMixture(StoryBatches):
    """Batches in which every task has its share of the stories, at its own lesson.

    In each epoch, `per_epoch` stories are drawn, as many of each task that has started,
    or fewer of those with few errors. They are cut to the current lesson of their task
    or, with probability `earlier`, to an earlier one. `lesson_of` holds the current
    lessons of these tasks. The callback `keras_dnc.TaskCurriculum` advances them,
    starts the other tasks, and sets their errors.

    A story whose first question lies beyond the lesson is not drawn. If fewer than a
    tenth of a task's stories have a question within the lesson, the tenth whose first
    question comes earliest is drawn, cut after that question.

    Args:
        stories: List of `EncodedStory`.
        batch_size: Number of stories in a batch.
        per_epoch: Number of stories in an epoch. If it is no multiple of the number of
            tasks, the first tasks have one story more.
        lessons: List of `Lesson`, the easiest first.
        tasks: Numbers of the tasks that start at once, or `None` for all. Defaults to
            `None`.
        earlier: Probability of an earlier lesson, each equally likely, in [0, 1).
            Defaults to 0.1.
        least_share: Stories are drawn in proportion to the errors of their tasks; a
            task without errors has this share of the stories of a task that is always
            wrong. In (0, 1]. Defaults to 1, for equal shares.
        augment: Function of an `EncodedStory`, cut to its lesson, and of a NumPy
            generator to a story of the same length, such as `Renaming`. It is called
            for each story that is drawn. Defaults to `None`, for the stories as they
            are.
        **kwargs: `buckets`, ascending numbers of tokens to pad to, which defaults to
            `None`, for quantiles of the lengths in all lessons; `seed` of the
            draws, which defaults to 0; and keyword arguments of
            `keras.utils.PyDataset`. Stories are shuffled in any case.

    Attributes:
        lesson_of: Dict from the number of each task that has started to the index of
            its lesson.
        errors: Dict from the numbers of tasks to the errors that `set_errors` was
            called with, each in [0, 1]. A task that it lacks counts as always wrong.
        epoch: Index of the epoch. Together with `seed`, the lessons and `errors` it
            determines the batches.

    Raises:
        ValueError: `stories` or `lessons` is empty or not of `EncodedStory` and
            `Lesson`, `batch_size`, `per_epoch` or a number of a lesson is not a
            positive integer, a story has no question, `tasks` is empty or has a task
            without stories, `buckets` do not ascend to the longest story, `least_share`
            is not in (0, 1], `augment` is not a function, or `earlier` or `seed` is out
            of range.
        TypeError: `shuffle` is given.

    Example:
        >>> tokens = np.array([3, 4, 5, 4])  # two questions, at the tokens 4
        >>> story = EncodedStory(1, tokens, tokens, weights=tokens == 4)
        >>> lessons = [Lesson(1, 10), Lesson(2, 10)]
        >>> mixture = StoryMixture([story], 1, per_epoch=1, lessons=lessons)
        >>> mixture[0][0].tolist()
        [[3, 4]]
        >>> mixture.advance([1])
        >>> mixture[0][0].tolist()
        [[3, 4, 5, 4]]

    References:
        - Franke et al. 2018, section 4.1: stories of at most so many words.
    """

    def __init__(
        self,
        stories: Sequence[EncodedStory],
        batch_size: int,
        per_epoch: int,
        lessons: Sequence[Lesson],
        tasks: Sequence[int] | None = None,
        earlier: float = 0.1,
        least_share: float = 1.0,
        augment: Callable[[EncodedStory, np.random.Generator], EncodedStory]
        | None = None,
        **kwargs: Any,
    ) -> None:
        if "shuffle" in kwargs:
            raise TypeError(
                "Argument `shuffle` must not be given, since stories are drawn anew in "
                f"each epoch. Received: shuffle={kwargs['shuffle']!r}"
            )
        stories = checked_examples("stories", stories, EncodedStory)
        self.per_epoch = positive_integer("per_epoch", per_epoch)
        self.lessons = _checked_lessons(lessons)
        self.earlier = probability("earlier", earlier)
        self.least_share = probability(
            "least_share", least_share, includes_one=True, includes_zero=False
        )
        self.augment = _callable_or_none("augment", augment)
        self.errors: dict[int, float] = {}
        self._tasks = sorted({story.task for story in stories})
        first = self._tasks if tasks is None else tasks
        self._check_tasks(first)
        self.lesson_of = dict.fromkeys(first, 0)
        self._ends = [_ends_of(story) for story in stories]
        self._firsts = np.array([ends[0] for ends in self._ends])
        task_of = np.array([story.task for story in stories])
        self._numbers = {task: np.flatnonzero(task_of == task) for task in self._tasks}
        self._drawn: list[EncodedStory] = []
        super().__init__(stories, batch_size, shuffle=True, **kwargs)

    def _check_tasks(self, tasks: Sequence[int]) -> None:
        """Raise a `ValueError` unless there are tasks, and each has stories."""
        is_list = isinstance(tasks, Iterable) and not isinstance(tasks, str)
        if not is_list or not tasks or set(tasks) - set(self._tasks):
            raise ValueError(
                "Argument `tasks` must be some of the tasks that have stories, "
                f"{self._tasks}. Received: tasks={tasks!r}"
            )

    @property
    def waiting(self) -> list[int]:
        """Numbers of the tasks that have not started."""
        return [task for task in self._tasks if task not in self.lesson_of]

    def start(self, tasks: Sequence[int]) -> None:
        """Start tasks at the first lesson; those that have started are not changed.

        Args:
            tasks: Numbers of the tasks.

        Raises:
            ValueError: `tasks` is empty or has a task without stories.
        """
        self._check_tasks(tasks)
        self.set_lessons(dict.fromkeys(tasks, 0) | self.lesson_of)

    def length_of(self, example: EncodedStory) -> int:
        """Return the number of tokens of a story in the last lesson.

        Args:
            example: `EncodedStory`.

        Returns:
            Number of tokens, at least those up to its first question.
        """
        ends = question_ends(example)
        return int(ends[self.lessons[-1].count(ends) - 1])

    def lengths_to_pad(self) -> np.ndarray:
        """Return the lengths of the stories in all lessons, `(lessons * stories,)`."""
        return np.array(
            [
                ends[lesson.count(ends) - 1]
                for lesson in self.lessons
                for ends in self._ends
            ]
        )

    def like(self, examples: Sequence[EncodedStory]) -> StoryBatches:
        """Build batches of whole stories with the same buckets, without shuffling.

        Args:
            examples: List of `EncodedStory`.

        Returns:
            `StoryBatches` of the same batch size.

        Raises:
            ValueError: `examples` is empty.
        """
        whole = StoryBatches(examples, self.batch_size)
        longest = whole.buckets[-1]
        more = (longest,) if longest > self.buckets[-1] else ()
        return StoryBatches(examples, self.batch_size, buckets=self.buckets + more)

    def advance(self, tasks: Sequence[int]) -> None:
        """Set some tasks to their next lesson, unless they are at the last one.

        Args:
            tasks: Numbers of tasks that have started.
        """
        last = len(self.lessons) - 1
        moved = {task: min(self.lesson_of[task] + 1, last) for task in tasks}
        self.set_lessons(self.lesson_of | moved)

    def set_lessons(self, lesson_of: dict[int, int]) -> None:
        """Set which tasks have started, and the lesson of each.

        Args:
            lesson_of: Dict from the number of a task to the index of its lesson.
        """
        self.lesson_of = dict(lesson_of)
        self._batches = self._draw_batches()

    def set_errors(self, errors: Mapping[int, float]) -> None:
        """Set the errors of tasks, to which their shares of the stories are adapted.

        Args:
            errors: Dict from the number of a task to its fraction of wrong answers.
        """
        self.errors = dict(errors)
        self._batches = self._draw_batches()

    def questions_shown(self, story: EncodedStory) -> int:
        """Return the number of questions that the current lesson of a task shows.

        Args:
            story: `EncodedStory` of a task that has started.

        Returns:
            An integer, at least 1.
        """
        lesson = self.lessons[self.lesson_of[story.task]]
        return lesson.count(question_ends(story))

    def example(self, number: int) -> EncodedStory:
        """Return a story as it was drawn for this epoch.

        Args:
            number: Its index among the stories that were drawn.
        """
        return self._drawn[number]

    def _draw_batches(self) -> list[tuple[int, np.ndarray]]:
        """Draw the stories of an epoch, and cut the order by length into batches."""
        rng = np.random.default_rng([self.seed, self.epoch])
        self._drawn = [
            story
            for task, size in self._sizes().items()
            for story in self._draw(task, size, rng)
        ]
        lengths = [len(story.tokens) for story in self._drawn]
        bucket_of = np.searchsorted(self.buckets, lengths)
        order = np.lexsort((rng.random(len(lengths)), bucket_of))
        starts = range(0, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        padded = [
            (self.buckets[bucket_of[numbers].max()], numbers) for numbers in batches
        ]
        rng.shuffle(padded)
        return with_two_lengths_first(padded)

    def _sizes(self) -> dict[int, int]:
        """Return the number of stories of each task in an epoch."""
        tasks = sorted(self.lesson_of)
        errors = [self.errors.get(task, 1.0) for task in tasks]
        shares = np.maximum(errors, self.least_share)
        exact = self.per_epoch * shares / shares.sum()
        sizes = np.floor(exact).astype(int)
        more = self.per_epoch - sizes.sum()
        sizes[np.argsort(sizes - exact, kind="stable")[:more]] += 1
        return dict(zip(tasks, sizes.tolist(), strict=True))

    def _draw(
        self, task: int, size: int, rng: np.random.Generator
    ) -> list[EncodedStory]:
        """Draw stories of one task."""
        current = self.lesson_of[task]
        is_earlier = rng.random(size) < self.earlier
        earlier = rng.integers(max(current, 1), size=size)
        drawn = []
        for index, count in zip(
            *np.unique(np.where(is_earlier, earlier, current), return_counts=True),
            strict=True,
        ):
            lesson = self.lessons[index]
            numbers = self._within(task, lesson)
            chosen = rng.choice(numbers, count, replace=count > len(numbers))
            drawn += [self._cut(number, lesson) for number in chosen]
        if self.augment is not None:
            drawn = [self.augment(story, rng) for story in drawn]
        return drawn

    def _within(self, task: int, lesson: Lesson) -> np.ndarray:
        """Return the indices of the stories that a lesson shows."""
        numbers = self._numbers[task]
        firsts = self._firsts[numbers]
        within = numbers[firsts <= lesson.tokens]
        fewest = -(-len(numbers) // _FEWEST)
        if len(within) >= fewest:
            return within
        return numbers[np.argsort(firsts, kind="stable")[:fewest]]

    def _cut(self, number: int, lesson: Lesson) -> EncodedStory:
        """Cut a story to a lesson."""
        return first_questions(self.examples[number], lesson.count(self._ends[number]))


def _callable_or_none(name: str, value: Any) -> Any:
    """Return a function or `None`, or raise an error that names the argument."""
    if value is not None and not callable(value):
        raise ValueError(
            f"Argument `{name}` must be a function or `None`. "
            f"Received: {name}={value!r}"
        )
    return value


def hold_out(
    stories: Sequence[EncodedStory], per_task: int
) -> tuple[list[EncodedStory], list[EncodedStory]]:
    """Split stories into those to train on and those to hold out.

    Args:
        stories: List of `EncodedStory`.
        per_task: Number of stories of each task to hold out, at regular distances in
            the order of the list.

    Returns:
        `(training, held_out)`, two lists in the order of `stories`.

    Raises:
        ValueError: `per_task` is not a positive integer, or a task does not have more
            stories.

    Example:
        >>> tokens = np.ones(3, "int32")
        >>> stories = [EncodedStory(task, *[tokens] * 3) for task in (1, 1, 2, 2)]
        >>> training, held_out = hold_out(stories, per_task=1)
        >>> [story.task for story in training], [story.task for story in held_out]
        ([1, 2], [1, 2])
    """
    check_positive_integers(per_task=per_task)
    held: set[int] = set()
    for task in sorted({story.task for story in stories}):
        numbers = [i for i, story in enumerate(stories) if story.task == task]
        if len(numbers) <= per_task:
            raise ValueError(
                "Argument `per_task` must be below the number of stories of each task: "
                f"task {task} has {len(numbers)}. Received: per_task={per_task}"
            )
        positions = np.arange(per_task) * len(numbers) // per_task
        held |= {numbers[position] for position in positions}
    return (
        [story for i, story in enumerate(stories) if i not in held],
        [story for i, story in enumerate(stories) if i in held],
    )


def _ends_of(story: EncodedStory) -> np.ndarray:
    """Return where the answers of a story end, or raise a `ValueError`."""
    ends = question_ends(story)
    if not len(ends):
        raise ValueError(
            "Argument `stories` must have a question in each story. "
            f"Received: one of task {story.task} without"
        )
    return ends


def _checked_lessons(lessons: Any) -> list[Lesson]:
    """Return lessons as a list, or raise a `ValueError`."""
    found = checked_examples("lessons", lessons, Lesson)
    for questions, tokens in found:
        check_positive_integers(questions=questions, tokens=tokens)
    return found
