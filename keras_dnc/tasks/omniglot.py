"""Omniglot episodes: tell handwritten characters apart after seeing each once or twice.

Every episode has characters of its own and gives them labels of its own, shown one step
late: nothing but memory can bind one to the other (Santoro et al. 2016).
"""

import io
import itertools
import pathlib
import zipfile
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers

LETTERS = "abcde"  # of a label that is a string of five
_ANGLE = 180.0 / 16  # degrees by which a drawing is turned, at most
_SHIFT = 0.1  # of its size by which it is moved, at most


def read_zips(paths, size=20):
    """Read the drawings in Omniglot's own archives.

    The `pillow` package is needed.

    Args:
        paths: Paths of files such as `images_background_small1.zip`. Characters that
            are in several are taken once.
        size: Height and width to scale drawings to.

    Returns:
        Dict from `"alphabet/character"` to `(drawings, size, size)`, float32 in [0, 1],
        ink 1.

    Raises:
        ValueError: `size` is no positive integer, or an archive has no drawings.
    """
    from PIL import Image

    check_positive_integers(size=size)
    characters: dict = {}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png")]
            if not names:
                raise ValueError(
                    "Argument `paths` must be archives of Omniglot, which hold PNG "
                    f"files. Received: {str(path)!r} without one"
                )
            found: dict = {}
            for name in sorted(names):
                *_, alphabet, character, _ = pathlib.PurePosixPath(name).parts
                drawing = _scaled(Image.open(io.BytesIO(archive.read(name))), size)
                found.setdefault(f"{alphabet}/{character}", []).append(drawing)
            characters.update({name: np.stack(all_) for name, all_ in found.items()})
    return characters


def _scaled(image, size):
    """Scale one drawing, a PIL image, ink 1."""
    from PIL import Image

    image = image.convert("L").resize((size, size), Image.Resampling.BOX)
    return 1.0 - np.asarray(image, "float32") / 255.0


def read_tfds(splits=("small1", "small2"), data_dir=None, size=20):
    """Read the drawings through TensorFlow Datasets, which fetches them once.

    The `tensorflow-datasets` and `pillow` packages are needed.

    Args:
        splits: As in `tfds.load("omniglot")`: of `train`, `test`, `small1`, `small2`.
            Characters that are in several are taken once.
        data_dir: Folder of prepared datasets; `None` for TFDS's own.
        size: Height and width to scale drawings to.

    Returns:
        As `read_zips`; names are numbers of alphabet and character.
    """
    import tensorflow_datasets as tfds
    from PIL import Image

    check_positive_integers(size=size)
    characters: dict = {}
    for split in splits:
        rows = tfds.as_numpy(tfds.load("omniglot", split=split, data_dir=data_dir))
        found: dict = {}
        for row in rows:
            name = f"{row['alphabet']}/{row['alphabet_char_id']}"
            drawing = _scaled(Image.fromarray(row["image"]), size)
            found.setdefault(name, []).append(drawing)
        characters.update({name: np.stack(all_) for name, all_ in found.items()})
    return characters


def split_by_alphabet(characters, test_alphabets):
    """Divide characters so that no alphabet is on both sides.

    Args:
        characters: As `read_zips` gives them.
        test_alphabets: Names of alphabets, the part before the slash.

    Returns:
        `(training, test)`, two dicts.

    Raises:
        ValueError: An alphabet that there is not, or a side without characters.
    """
    alphabets = {name.split("/")[0] for name in characters}
    wanted = set(test_alphabets)
    if not wanted or wanted - alphabets or wanted == alphabets:
        raise ValueError(
            f"Argument `test_alphabets` must be some of {sorted(alphabets)}, not all. "
            f"Received: {sorted(wanted)}"
        )
    is_test = {name: name.split("/")[0] in wanted for name in characters}
    return tuple(
        {name: characters[name] for name in characters if is_test[name] == side}
        for side in (False, True)
    )


def repeated(characters):
    """Give characters of which every drawing is the first one: an easy first lesson.

    What has to be learned of them is to bind a label to a drawing, not what two
    drawings of a character have in common.

    Args:
        characters: As `read_zips` gives them.

    Returns:
        Dict of the same names and shapes; drawings are views, not to be written to.
    """
    return {
        name: np.broadcast_to(drawings[:1], drawings.shape)
        for name, drawings in characters.items()
    }


class OmniglotTask(Task):
    """Name each drawing; its right name is shown with the next one.

    With 2 classes, 2 drawings of each, one-hot labels (`.` is 0, `#` is 1):

        time              0  1  2  3
        inputs   drawing  A  B  B  A     size x size numbers, turned and moved a bit
                 label 0  .  #  .  .     of the drawing before
                 label 1  .  .  #  #
        targets  label 0  #  .  .  #
                 label 1  .  #  #  .
        mask              #  #  #  #

    Which label a character has is drawn anew for each episode. A character turned by
    90, 180 or 270 degrees is another one.

    Measured in wrong answers (`errors`), and in the accuracy at each drawing of the
    same class, the first of which can only be guessed (`instance_accuracy`).

    Args:
        characters: Dict from names to drawings `(drawings, size, size)`, as
            `read_zips` gives it.
        num_classes: Characters in an episode.
        num_drawings: Drawings of each of them.
        labels: `"one-hot"`, or `"letters"` for strings of five letters of five, of
            which there are 3,125.
        turn: Whether characters are turned by quarters, which makes four of one: for
            training, as is `move`.
        move: Whether drawings are turned and moved a little.

    Raises:
        ValueError: A number that is no positive integer, fewer characters than classes,
            fewer drawings of one than asked for, drawings of different sizes, or an
            unknown kind of labels.

    Example:
        >>> import numpy as np
        >>> drawings = np.random.default_rng(0).random((7, 20, 8, 8))
        >>> characters = {f"Greek/character{n}": d for n, d in enumerate(drawings)}
        >>> task = OmniglotTask(characters, num_classes=3, num_drawings=4)
        >>> batch = task.batch(2, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape
        ((2, 12, 67), (2, 12, 3))

    References:
        - Santoro et al. 2016, One-shot learning with memory-augmented neural networks,
          sections 3.1 and 4.1.
        - Lake, Salakhutdinov and Tenenbaum 2015, Human-level concept learning through
          probabilistic program induction.
    """

    metric = "fraction of wrong answers"

    def __init__(
        self,
        characters: Mapping[str, np.ndarray],
        num_classes: int = 5,
        num_drawings: int = 10,
        labels: str = "one-hot",
        turn: bool = False,
        move: bool = False,
    ) -> None:
        check_positive_integers(num_classes=num_classes, num_drawings=num_drawings)
        if labels not in ("one-hot", "letters"):
            raise ValueError(
                "Argument `labels` must be 'one-hot' or 'letters'. "
                f"Received: labels={labels!r}"
            )
        _check_characters(characters, num_classes, num_drawings)
        self.characters = dict(characters)
        self.num_classes = num_classes
        self.num_drawings = num_drawings
        self.labels = labels
        self.turn = turn
        self.move = move
        (self.size,) = {drawings.shape[1] for drawings in characters.values()}
        self.target_size = num_classes if labels == "one-hot" else len(LETTERS) ** 2
        self.observation_size = self.size**2 + self.target_size
        self.max_time = num_classes * num_drawings

    def sample(self, rng):
        """Draw characters, drawings of them, labels and an order."""
        names = rng.choice(sorted(self.characters), self.num_classes, replace=False)
        drawings = np.concatenate([self._drawings(name, rng) for name in names])
        classes = np.repeat(np.arange(self.num_classes), self.num_drawings)
        order = rng.permutation(self.max_time)
        return self.episode(drawings[order], self._names(rng)[classes[order]])

    def _drawings(self, name, rng):
        """Choose drawings of a character, `(num_drawings, size, size)`."""
        drawings = self.characters[name]
        drawings = drawings[rng.choice(len(drawings), self.num_drawings, replace=False)]
        if self.turn:
            drawings = np.rot90(drawings, rng.integers(4), axes=(1, 2))
        if self.move:
            drawings = np.stack([_moved(drawing, rng) for drawing in drawings])
        return drawings

    def _names(self, rng):
        """Draw a label for each class, `(num_classes, target_size)`."""
        if self.labels == "one-hot":
            return np.eye(self.num_classes, dtype="float32")[
                rng.permutation(self.num_classes)
            ]
        words = rng.choice(
            len(LETTERS) ** len(LETTERS), self.num_classes, replace=False
        )
        places = len(LETTERS) ** np.arange(len(LETTERS))
        letters = words[:, None] // places % len(LETTERS)
        return np.eye(len(LETTERS), dtype="float32")[letters].reshape(len(words), -1)

    def episode(self, drawings, labels):
        """Lay drawings and their labels out as an `Episode`.

        Args:
            drawings: `(time, size, size)`, in [0, 1].
            labels: `(time, target_size)`, of zeros and ones.

        Raises:
            ValueError: An argument of another shape.
        """
        drawings, labels = np.asarray(drawings, "float32"), np.asarray(labels)
        expected = (len(drawings), self.target_size)
        if drawings.shape[1:] != (self.size, self.size) or labels.shape != expected:
            raise ValueError(
                f"Arguments `drawings` and `labels` must have shapes (time, "
                f"{self.size}, {self.size}) and (time, {self.target_size}). Received: "
                f"drawings of shape {drawings.shape}, labels of shape {labels.shape}"
            )
        before = np.concatenate([np.zeros_like(labels[:1]), labels[:-1]])
        pixels = drawings.reshape(len(drawings), -1)
        inputs = np.concatenate([pixels, before], axis=1).astype("float32")
        return Episode(
            inputs, labels.astype("float32"), np.ones(len(labels), "float32")
        )

    def errors(self, batch: EpisodeBatch, outputs):
        """Give the fraction of wrong answers in each sequence, `(batch,)`."""
        return np.mean(~self._is_right(batch, outputs), axis=1)

    def instance_accuracy(self, batch: EpisodeBatch, outputs):
        """Give the accuracy at the first, second, ... drawing of a class.

        Args:
            batch: `EpisodeBatch`.
            outputs: Scores, `(batch, time, target_size)`.

        Returns:
            `(num_drawings,)`, the mean over classes and sequences.
        """
        right = self._is_right(batch, outputs)
        same = np.all(batch.targets[:, :, None] == batch.targets[:, None], axis=-1)
        instance = np.sum(np.tril(same), axis=2)  # 1 at the first of its class
        return np.array(
            [np.mean(right[instance == k]) for k in range(1, self.num_drawings + 1)]
        )

    def _is_right(self, batch, outputs):
        """Whether each answer is, `(batch, time)`: every letter of a string."""
        letters = self.num_classes if self.labels == "one-hot" else len(LETTERS)
        said, right = (
            np.asarray(scores).reshape(*scores.shape[:2], -1, letters).argmax(-1)
            for scores in (outputs, batch.targets)
        )
        return np.all(said == right, axis=-1)

    def to_text(self, episode, outputs=None):
        """Write an episode's right labels, and those said, one step a line.

        Args:
            episode: `Episode`.
            outputs: Scores, `(time, target_size)`, or `None`.
        """
        columns = [self._words(episode.targets)]
        if outputs is not None:
            columns.append(self._words(np.asarray(outputs)))
        lines = zip(itertools.count(), *columns, strict=False)
        return "\n".join(" ".join(map(str, line)) for line in lines)

    def _words(self, scores: np.ndarray) -> Sequence[str]:
        if self.labels == "one-hot":
            return [str(label) for label in scores.argmax(-1)]
        letters = scores.reshape(len(scores), -1, len(LETTERS)).argmax(-1)
        return ["".join(LETTERS[letter] for letter in word) for word in letters]


def _check_characters(characters, num_classes, num_drawings):
    """Raise a `ValueError` unless episodes can be drawn from `characters`."""
    if len(characters) < num_classes:
        raise ValueError(
            "Argument `characters` must be at least `num_classes`. "
            f"Received: {len(characters)} characters, num_classes={num_classes}"
        )
    shapes = {np.shape(drawings)[1:] for drawings in characters.values()}
    fewest = min(len(drawings) for drawings in characters.values())
    if len(shapes) != 1 or fewest < num_drawings:
        raise ValueError(
            "Argument `characters` must have drawings of one size, and at least "
            f"`num_drawings` of each character. Received: sizes {sorted(shapes)}, at "
            f"least {fewest} drawings, num_drawings={num_drawings}"
        )


def _moved(drawing, rng):
    """Turn a drawing a little, and move it; what comes in is empty."""
    from PIL import Image

    reach = _SHIFT * len(drawing)
    image = Image.fromarray(np.ascontiguousarray(drawing, "float32"))
    turned = image.rotate(
        rng.uniform(-_ANGLE, _ANGLE),
        resample=Image.Resampling.BILINEAR,
        translate=tuple(rng.uniform(-reach, reach, 2)),
    )
    return np.asarray(turned)
