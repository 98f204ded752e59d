"""Omniglot episodes: classify handwritten characters after one or two examples.

Every episode has its own characters and its own assignment of labels, and each label is
shown one step late: only memory can bind a label to a drawing (Santoro et al. 2016).
"""

import io
import itertools
import os
import pathlib
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import switch
from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers

LETTERS = "abcde"  # alphabet of string labels, which have five letters
_MAX_ANGLE = 180.0 / 16  # degrees by which a drawing is rotated in training
_MAX_SHIFT = 0.1  # fraction of its size by which it is shifted in training
_END_SIZE = 22  # bytes of the last record of a zip archive, without its comment
_COUNT = slice(10, 12)  # where that record holds the number of entries
_MANY = 0xFFFF  # number of entries that means "written elsewhere" (zip64)


def read_zips(
    paths: Iterable[str | os.PathLike], size: int = 20
) -> dict[str, np.ndarray]:
    """Read the drawings in the archives that the authors of Omniglot publish.

    Hidden files and those that macOS adds to archives (`._0001_01.png`, `.DS_Store`,
    `__MACOSX`) are ignored. The `pillow` package is needed.

    Args:
        paths: Paths of archives, such as `images_background_small1.zip`, in which the
            drawings are `alphabet/character/name.png`, in any folder. A character that
            is in several archives is taken from the last one.
        size: Height and width to scale drawings to. Defaults to 20.

    Returns:
        Dict from `"alphabet/character"` to `(drawings, size, size)`, float32 in [0, 1],
        where ink is 1.

    Raises:
        ValueError: `size` is not a positive integer, `paths` is a single path, or an
            archive is not a whole zip archive, has no drawings, has drawings outside a
            folder of a character, of several sizes, or that are no images.
        FileNotFoundError: A path does not exist.
    """
    check_positive_integers(size=size)
    _check_several("paths", paths)
    characters: dict[str, np.ndarray] = {}
    for path in paths:
        characters.update(_read_zip(path, size))
    return characters


def _check_several(name: str, values: Any) -> None:
    """Raise a `ValueError` for a string, whose letters would be taken as the values."""
    if isinstance(values, str | bytes | os.PathLike):
        raise ValueError(
            f"Argument `{name}` must be a list. Received: {name}={values!r}"
        )


def _read_zip(path: str | os.PathLike, size: int) -> dict[str, np.ndarray]:
    """Read the drawings in one archive, by `"alphabet/character"`."""
    found: dict[str, list[np.ndarray]] = {}
    sizes: dict[tuple[int, int], str] = {}  # each with the first file that has it
    for file, content in _png_files(path).items():
        image = _decode(path, file, content)
        sizes.setdefault(image.size, file)
        found.setdefault(_character_of(path, file), []).append(_scale(image, size))
    if len(sizes) > 1:
        raise _refusal(path, f"drawings of several sizes, such as {sizes}")
    return {name: np.stack(drawings) for name, drawings in found.items()}


def _refusal(path: str | os.PathLike, received: str) -> ValueError:
    """Return the error for an archive that does not hold Omniglot's drawings."""
    return ValueError(
        "Argument `paths` must be archives of Omniglot: whole zip files that hold PNG "
        "files `alphabet/character/name.png`. "
        f"Received: {os.fspath(path)!r} with {received}"
    )


def _png_files(path: str | os.PathLike) -> dict[str, bytes]:
    """Read the PNG files of an archive: their contents, by their sorted names."""
    if os.path.isdir(path):
        raise _refusal(path, "a folder at this path")
    with open(path, "rb") as file:
        try:
            files = _read_whole(file)
        # `zipfile` has no common class for what it raises for damaged archives.
        except Exception as error:
            raise _refusal(path, f"content that cannot be read ({error})") from error
    drawings = {name: files[name] for name in sorted(files) if _is_drawing(name)}
    if not drawings:
        raise _refusal(path, "no such file")
    return drawings


def _read_whole(file: BinaryIO) -> dict[str, bytes]:
    """Read all files of an archive, so that all of its checksums are compared."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        # Damaged lengths in the table of contents make `zipfile` skip entries.
        file.seek(-_END_SIZE - len(archive.comment), os.SEEK_END)
        count = int.from_bytes(file.read(_END_SIZE)[_COUNT], "little")
        if count not in (len(entries), _MANY):
            raise zipfile.BadZipFile(f"{len(entries)} of {count} entries are readable")
        return {entry.filename: archive.read(entry) for entry in entries}


def _is_drawing(file: str) -> bool:
    """Return whether a file in an archive is a drawing, not added by the system."""
    parts = pathlib.PurePosixPath(file).parts
    is_added = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return file.endswith(".png") and not is_added


def _character_of(path: str | os.PathLike, file: str) -> str:
    """Return `"alphabet/character"` of a drawing, from its path in the archive."""
    *_, alphabet, character, _ = ("", "", *pathlib.PurePosixPath(file).parts)
    if not alphabet:
        raise _refusal(path, f"{file!r}, which is not in folders of this form")
    return f"{alphabet}/{character}"


def _decode(path: str | os.PathLike, file: str, content: bytes) -> Any:
    """Decode a PNG file as a PIL image."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
        image.load()
    # Pillow has no common class for what it raises for damaged and oversized images.
    except Exception as error:
        raise _refusal(path, f"{file!r}, which is no PNG image ({error})") from error
    return image


def _scale(image: Any, size: int) -> np.ndarray:
    """Convert a PIL image to `(size, size)`, float32 in [0, 1], where ink is 1."""
    from PIL import Image

    image = image.convert("L").resize((size, size), Image.Resampling.BOX)
    return 1.0 - np.asarray(image, "float32") / 255.0


def read_tfds(
    splits: Iterable[str] = ("small1", "small2"),
    data_dir: str | os.PathLike | None = None,
    size: int = 20,
) -> dict[str, np.ndarray]:
    """Read the drawings with TensorFlow Datasets, which downloads them once.

    The `tensorflow-datasets` and `pillow` packages are needed.

    Args:
        splits: Splits of the dataset `omniglot`: some of `"train"`, `"test"`,
            `"small1"` and `"small2"`. A character that is in several splits is taken
            from the last one. Defaults to `("small1", "small2")`.
        data_dir: Folder of prepared datasets. Defaults to `None`, for that of
            TensorFlow Datasets.
        size: Height and width to scale drawings to. Defaults to 20.

    Returns:
        Dict from `"alphabet/character"`, both as numbers, to `(drawings, size, size)`,
        float32 in [0, 1], where ink is 1.

    Raises:
        ValueError: `size` is not a positive integer, `splits` is a single name, or
            there is no such split.
    """
    import tensorflow_datasets as tfds
    from PIL import Image

    check_positive_integers(size=size)
    _check_several("splits", splits)
    characters: dict[str, np.ndarray] = {}
    for split in splits:
        rows = tfds.as_numpy(tfds.load("omniglot", split=split, data_dir=data_dir))
        found: dict[str, list[np.ndarray]] = {}
        for row in rows:
            name = f"{row['alphabet']}/{row['alphabet_char_id']}"
            drawing = _scale(Image.fromarray(row["image"]), size)
            found.setdefault(name, []).append(drawing)
        characters.update({name: np.stack(all_) for name, all_ in found.items()})
    return characters


def split_by_alphabet(
    characters: Mapping[str, np.ndarray], test_alphabets: Iterable[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Split characters so that no alphabet is in both training and test set.

    Args:
        characters: Dict from `"alphabet/character"` to drawings.
        test_alphabets: Names of the alphabets of the test set: at least one, not all.

    Returns:
        `(training, test)`, two dicts from `"alphabet/character"` to drawings.

    Raises:
        ValueError: An alphabet does not exist, or a set would be empty.

    Example:
        >>> names = ["Greek/01", "Greek/02", "Latin/01"]
        >>> characters = {name: np.zeros((20, 8, 8)) for name in names}
        >>> training, test = split_by_alphabet(characters, ["Latin"])
        >>> sorted(training), sorted(test)
        (['Greek/01', 'Greek/02'], ['Latin/01'])
    """
    alphabets = {name.split("/")[0] for name in characters}
    wanted = set(test_alphabets)
    if not wanted or wanted - alphabets or wanted == alphabets:
        raise ValueError(
            f"Argument `test_alphabets` must be some of {sorted(alphabets)}, not all. "
            f"Received: {sorted(wanted)}"
        )
    training: dict[str, np.ndarray] = {}
    test: dict[str, np.ndarray] = {}
    for name, drawings in characters.items():
        side = test if name.split("/")[0] in wanted else training
        side[name] = drawings
    return training, test


def repeated(characters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Replace every drawing of a character by its first one, for an easier task.

    A model then has to bind a label to a drawing, but not to recognize that two
    different drawings show the same character. Useful as the first level of a
    curriculum.

    Args:
        characters: Dict from names to drawings, `(drawings, size, size)`.

    Returns:
        Dict of the same names and shapes. The arrays are read-only views.
    """
    return {
        name: np.broadcast_to(drawings[:1], drawings.shape)
        for name, drawings in characters.items()
    }


class OmniglotTask(Task):
    """Classify each drawing; the correct label is shown with the next drawing.

    With 2 classes, 2 drawings of each, one-hot labels (`.` is 0, `#` is 1):

        time              0  1  2  3
        inputs   drawing  A  B  B  A     size x size numbers
                 label 0  .  #  .  .     of the previous drawing
                 label 1  .  .  #  #
        targets  label 0  #  .  .  #
                 label 1  .  #  #  .
        mask              #  #  #  #

    Labels are assigned to characters at random in each episode. With `turn`, a
    character rotated by 90, 180 or 270 degrees counts as another character.

    The error is the fraction of wrong answers (`errors`). `instance_accuracy` gives the
    accuracy at the first, second, ... drawing of a class, the first of which can only
    be guessed.

    Args:
        characters: Dict from names to drawings, `(drawings, size, size)`, in [0, 1],
            such as `read_zips` returns.
        num_classes: Number of characters in an episode. Defaults to 5.
        num_drawings: Number of drawings of each character. Defaults to 10.
        labels: `"one-hot"`, or `"letters"` for strings of five letters from an alphabet
            of five, of which there are 3,125. Defaults to `"one-hot"`.
        turn: Whether to rotate the characters of an episode by random multiples of 90
            degrees, as augmentation in training. Defaults to `False`.
        move: Whether to rotate and shift each drawing a little, as augmentation in
            training. Needs the `pillow` package. Defaults to `False`.

    Raises:
        ValueError: A number is not a positive integer, there are fewer characters than
            `num_classes` or fewer drawings of one than `num_drawings`, drawings differ
            in size, are not square or hold values outside [0, 1], `labels` is unknown,
            or `turn` or `move` is not a bool.

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
        self.turn = switch("turn", turn)
        self.move = switch("move", move)
        (self.size,) = {drawings.shape[1] for drawings in characters.values()}
        self.target_size = num_classes if labels == "one-hot" else len(LETTERS) ** 2
        self.observation_size = self.size**2 + self.target_size
        self.max_time = num_classes * num_drawings

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw characters, their drawings, labels and the order of the drawings.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode` of `num_classes * num_drawings` steps.
        """
        names = rng.choice(sorted(self.characters), self.num_classes, replace=False)
        drawings = np.concatenate([self._choose_drawings(name, rng) for name in names])
        classes = np.repeat(np.arange(self.num_classes), self.num_drawings)
        order = rng.permutation(self.max_time)
        return self.episode(drawings[order], self._draw_labels(rng)[classes[order]])

    def _choose_drawings(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """Choose drawings of a character, `(num_drawings, size, size)`."""
        drawings = self.characters[name]
        drawings = drawings[rng.choice(len(drawings), self.num_drawings, replace=False)]
        if self.turn:
            drawings = np.rot90(drawings, int(rng.integers(4)), axes=(1, 2))
        if self.move:
            drawings = np.stack([_augment(drawing, rng) for drawing in drawings])
        return drawings

    def _draw_labels(self, rng: np.random.Generator) -> np.ndarray:
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

    def episode(self, drawings: npt.ArrayLike, labels: npt.ArrayLike) -> Episode:
        """Build the episode of given drawings and labels.

        Args:
            drawings: `(time, size, size)`, in [0, 1].
            labels: `(time, target_size)`, zeros and ones.

        Returns:
            `Episode`.

        Raises:
            ValueError: An argument has another shape.
        """
        drawings, labels = np.asarray(drawings, "float32"), np.asarray(labels)
        expected = (len(drawings), self.target_size)
        if drawings.shape[1:] != (self.size, self.size) or labels.shape != expected:
            raise ValueError(
                f"Arguments `drawings` and `labels` must have shapes (time, "
                f"{self.size}, {self.size}) and (time, {self.target_size}). Received: "
                f"drawings of shape {drawings.shape}, labels of shape {labels.shape}"
            )
        previous = np.concatenate([np.zeros_like(labels[:1]), labels[:-1]])
        pixels = drawings.reshape(len(drawings), -1)
        inputs = np.concatenate([pixels, previous], axis=1).astype("float32")
        return Episode(
            inputs, labels.astype("float32"), np.ones(len(labels), "float32")
        )

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Compute the fraction of wrong answers in each sequence.

        Args:
            batch: `EpisodeBatch`. Steps whose mask is 0 are not counted.
            outputs: Logits, `(batch, time, target_size)`.

        Returns:
            `(batch,)`, in [0, 1].
        """
        wrong = ~self._is_correct(batch, outputs)
        return np.average(wrong, axis=1, weights=batch.mask > 0)

    def instance_accuracy(
        self, batch: EpisodeBatch, outputs: npt.ArrayLike
    ) -> np.ndarray:
        """Compute the accuracy at the first, second, ... drawing of a class.

        Args:
            batch: `EpisodeBatch`. Steps whose mask is 0 are not counted.
            outputs: Logits, `(batch, time, target_size)`.

        Returns:
            `(num_drawings,)`, in [0, 1], the mean over classes and sequences; NaN where
            no class has as many drawings.
        """
        correct = self._is_correct(batch, outputs)
        same = np.all(batch.targets[:, :, None] == batch.targets[:, None], axis=-1)
        instance = np.sum(np.tril(same), axis=2)  # 1 at the first of its class
        instance *= batch.mask > 0
        return np.array(
            [np.mean(correct[instance == k]) for k in range(1, self.num_drawings + 1)]
        )

    def _is_correct(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Return whether each answer, in all of its letters, is correct."""
        letters = self.num_classes if self.labels == "one-hot" else len(LETTERS)
        predicted, expected = (
            scores.reshape(*scores.shape[:2], -1, letters).argmax(-1)
            for scores in (np.asarray(outputs), batch.targets)
        )
        return np.all(predicted == expected, axis=-1)

    def to_text(self, episode: Episode, outputs: npt.ArrayLike | None = None) -> str:
        """Write the correct and predicted labels of an episode, one line per step.

        Args:
            episode: `Episode`.
            outputs: Logits, `(time, target_size)`. Defaults to `None`, for no
                predictions.

        Returns:
            Text; a line holds the step, the correct label and the predicted one.
        """
        columns = [self._label_texts(episode.targets)]
        if outputs is not None:
            columns.append(self._label_texts(np.asarray(outputs)))
        lines = zip(itertools.count(), *columns, strict=False)
        return "\n".join(" ".join(map(str, line)) for line in lines)

    def _label_texts(self, scores: np.ndarray) -> list[str]:
        """Write the label of the greatest score at each step."""
        if self.labels == "one-hot":
            return [str(label) for label in scores.argmax(-1)]
        letters = scores.reshape(len(scores), -1, len(LETTERS)).argmax(-1)
        return ["".join(LETTERS[letter] for letter in word) for word in letters]


def _check_characters(
    characters: Mapping[str, np.ndarray], num_classes: int, num_drawings: int
) -> None:
    """Raise a `ValueError` unless episodes can be drawn from `characters`."""
    if not isinstance(characters, Mapping):
        raise ValueError(
            "Argument `characters` must be a dict from names to drawings. "
            f"Received: characters={characters!r}"
        )
    if len(characters) < num_classes:
        raise ValueError(
            "Argument `characters` must be at least `num_classes`. "
            f"Received: {len(characters)} characters, num_classes={num_classes}"
        )
    for name, drawings in characters.items():
        _check_drawings(name, np.asarray(drawings))
    sizes = {np.shape(drawings)[1] for drawings in characters.values()}
    fewest = min(len(drawings) for drawings in characters.values())
    if len(sizes) != 1 or fewest < num_drawings:
        raise ValueError(
            "Argument `characters` must have drawings of one size, and at least "
            f"`num_drawings` of each character. Received: sizes {sorted(sizes)}, at "
            f"least {fewest} drawings, num_drawings={num_drawings}"
        )


def _check_drawings(name: str, drawings: np.ndarray) -> None:
    """Raise a `ValueError` unless drawings are square and have values in [0, 1]."""
    is_square = drawings.ndim == 3 and drawings.shape[1] == drawings.shape[2]
    is_number = np.can_cast(drawings.dtype, "float64", casting="same_kind")
    # NaN is neither at least 0 nor at most 1.
    if not (is_square and is_number and np.all((drawings >= 0) & (drawings <= 1))):
        raise ValueError(
            "Argument `characters` must have drawings of shape (drawings, size, size), "
            f"with values in [0, 1]. Received: characters[{name!r}] of shape "
            f"{drawings.shape} and dtype {drawings.dtype}"
            + (f", from {drawings.min()} to {drawings.max()}" if is_number else "")
        )


def _augment(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate and shift a drawing a little, filling the border with paper."""
    from PIL import Image

    reach = _MAX_SHIFT * len(drawing)
    image = Image.fromarray(np.ascontiguousarray(drawing, "float32"))
    rotated = image.rotate(
        rng.uniform(-_MAX_ANGLE, _MAX_ANGLE),
        resample=Image.Resampling.BILINEAR,
        translate=tuple(rng.uniform(-reach, reach, 2)),
    )
    return np.asarray(rotated)
