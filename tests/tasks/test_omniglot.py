"""Omniglot episodes: labels of their own, one step late, and how answers count."""

import io
import pathlib
import zipfile

import numpy as np
import pytest

from keras_dnc.tasks.omniglot import OmniglotTask
from keras_dnc.tasks.omniglot import read_tfds
from keras_dnc.tasks.omniglot import read_zips
from keras_dnc.tasks.omniglot import repeated
from keras_dnc.tasks.omniglot import split_by_alphabet
from keras_dnc.tasks.task import EpisodeBatch

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def characters(rng):
    """Characters of one shade each, so that a drawing tells whose it is."""
    shades = np.arange(1, 8) / 8.0
    return {
        f"{'Greek' if n < 4 else 'Latin'}/character{n:02}": np.full(
            (12, 6, 6), shade, "float32"
        )
        for n, shade in enumerate(shades)
    }


def png(ink, size=105):
    """A PNG file, black up to the column `ink`."""
    pixels = np.full((size, size), 255, "uint8")
    pixels[:, :ink] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(file, "PNG")
    return file.getvalue()


def archive(folder, name, alphabets, others=()):
    """An archive laid out as Omniglot's: 105 x 105, ink black, one character each."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for alphabet in alphabets:
            for drawing in (1, 2):  # a fifth, two fifths
                inside = f"{name}/{alphabet}/character01/0001_{drawing:02}.png"
                file.writestr(inside, png(21 * drawing))
        for inside, content in dict(others).items():
            file.writestr(inside, content)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, drawings in expected.items():
        np.testing.assert_array_equal(found[name], drawings)


def test_archives_are_read_and_scaled_with_ink_at_1(tmp_path):
    paths = [
        archive(tmp_path, "small1", ["Greek"]),
        archive(tmp_path, "small2", ["Greek", "Korean"]),
    ]
    found = read_zips(paths, size=5)
    assert sorted(found) == ["Greek/character01", "Korean/character01"]
    first, second = found["Greek/character01"]
    np.testing.assert_allclose(first[0], [1, 0, 0, 0, 0])
    np.testing.assert_allclose(second[3], [1, 1, 0, 0, 0])


def test_an_archive_without_drawings_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as file:
        file.writestr("README", "")
    with pytest.raises(ValueError, match="`paths` must be archives of Omniglot"):
        read_zips([tmp_path / "empty.zip"])


@pytest.mark.parametrize(
    "added",
    [
        "small1/Greek/character01/._0001_01.png",
        "small1/Greek/._character01/0001_01.png",
        "__MACOSX/small1/Greek/character01/0001_01.png",
        "small1/.DS_Store",
        "small1/Greek/character01/README",
    ],
)
def test_files_that_systems_add_to_archives_are_ignored(tmp_path, added):
    expected = read_zips([archive(tmp_path, "small1", ["Greek"])], size=5)
    path = archive(tmp_path, "small1", ["Greek"], {added: b"no drawing"})
    assert_same(read_zips([path], size=5), expected)


WHOLE = png(21)


@pytest.mark.parametrize(
    "name,content,received",
    [
        ("Greek/character01/1.png", b"no drawing", "no PNG image"),
        ("Greek/character01/1.png", b"", "no PNG image"),
        ("Greek/character01/1.png", WHOLE[:-30], "no PNG image"),
        ("Greek/character01/1.png", WHOLE[:40] + b"x" + WHOLE[41:], "no PNG image"),
        ("Greek/character01/1.png", b"GIF89a" + WHOLE, "no PNG image"),
        ("1.png", WHOLE, "not in folders of this form"),
        ("character01/1.png", WHOLE, "not in folders of this form"),
        ("Greek/character02/1.png", png(21, size=28), "drawings of several sizes"),
    ],
)
def test_a_drawing_that_does_not_fit_is_named_with_its_archive(
    tmp_path, name, content, received
):
    path = archive(tmp_path, "small1", ["Korean"], {name: content})
    with pytest.raises(ValueError, match=rf"small1\.zip' with .*{received}") as raised:
        read_zips([path])
    assert name in str(raised.value)


def test_no_bit_of_an_archive_can_change_without_an_error(tmp_path):
    path = archive(tmp_path, "small1", ["Greek", "Latin"])
    whole, content = read_zips([path], size=5), path.read_bytes()
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert_same(read_zips([path], size=5), whole)  # a file's time, for example
        except ValueError:
            refused += 1
    assert refused > 0.6 * len(content)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path, part):
    path = archive(tmp_path, "small1", ["Greek", "Latin"])
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"small1\.zip' with content that cannot"):
        read_zips([path])


def test_a_folder_in_place_of_an_archive_is_refused(tmp_path):
    with pytest.raises(ValueError, match="with a folder at this path"):
        read_zips([tmp_path])


def test_an_archive_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.zip"):
        read_zips([tmp_path / "absent.zip"])


@pytest.mark.parametrize("single", ["small1.zip", pathlib.Path("small1.zip")])
def test_a_single_path_is_not_taken_as_a_list(single):
    with pytest.raises(ValueError, match="`paths` must be a list.*small1"):
        read_zips(single)


def test_a_single_split_is_not_taken_as_a_list():
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(ValueError, match="`splits` must be a list.*small1"):
        read_tfds("small1")


@pytest.mark.only("tensorflow")
def test_datasets_give_the_same_as_archives(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    import tensorflow as tf

    image = np.full((105, 105, 3), 255, "uint8")
    image[:, :21] = 0

    def load(name, split, data_dir):
        rows = {
            "image": np.stack([image, image, image]),
            "alphabet": [3, 3, {"small1": 3, "small2": 4}[split]],
            "alphabet_char_id": [1, 1, 2],
        }
        return tf.data.Dataset.from_tensor_slices(rows)

    monkeypatch.setattr(tfds, "load", load)
    found = read_tfds(size=5)
    assert {name: len(drawings) for name, drawings in found.items()} == {
        "3/1": 2,  # in both splits
        "3/2": 1,
        "4/2": 1,
    }
    np.testing.assert_allclose(found["3/2"][0, 0], [1, 0, 0, 0, 0])


def test_no_alphabet_is_on_both_sides(characters):
    training, test = split_by_alphabet(characters, ["Latin"])
    assert {name.split("/")[0] for name in training} == {"Greek"}
    assert {name.split("/")[0] for name in test} == {"Latin"}
    for wrong in ([], ["Runes"], ["Greek", "Latin"]):
        with pytest.raises(ValueError, match="`test_alphabets` must be some of"):
            split_by_alphabet(characters, wrong)


def test_of_repeated_characters_every_drawing_is_the_first(rng):
    characters = {name: rng.random((4, 5, 5)) for name in ("Greek/1", "Greek/2")}
    same = repeated(characters)
    assert list(same) == list(characters)
    for name, drawings in same.items():
        np.testing.assert_array_equal(drawings, [characters[name][0]] * 4)


@pytest.mark.parametrize("labels,size", [("one-hot", 3), ("letters", 25)])
def test_each_class_has_one_label_which_is_shown_one_step_late(
    characters, rng, labels, size
):
    task = OmniglotTask(characters, num_classes=3, num_drawings=4, labels=labels)
    inputs, targets, mask = task.sample(rng)
    assert inputs.shape == (12, 36 + size) and mask.tolist() == [1.0] * 12
    np.testing.assert_array_equal(inputs[1:, 36:], targets[:-1])
    assert np.all(inputs[0, 36:] == 0)
    shades = inputs[:, 0]
    assert sorted(np.unique(shades, return_counts=True)[1]) == [4, 4, 4]
    pairs = zip(shades, targets, strict=True)
    label_of = {shade: tuple(target) for shade, target in pairs}
    assert len(set(label_of.values())) == 3
    for shade, target in zip(shades, targets, strict=True):
        assert tuple(target) == label_of[shade]
        assert target.sum() == (1 if labels == "one-hot" else 5)


def test_labels_are_drawn_anew_for_each_episode(characters, rng):
    task = OmniglotTask(characters, num_classes=2, num_drawings=1)
    seen = {
        (float(inputs[0, 0]), int(targets[0].argmax()))
        for inputs, targets, _ in (task.sample(rng) for _ in range(200))
    }
    assert len(seen) == 2 * len(characters)


@pytest.mark.parametrize("move", [False, True])
def test_turned_characters_lie_on_every_side_and_moved_drawings_differ(rng, move):
    pattern = np.zeros((4, 20, 9, 9), "float32")
    pattern[:, :, :4] = 1.0  # the upper part
    characters = {f"A/{n}": drawings for n, drawings in enumerate(pattern)}
    task = OmniglotTask(characters, 1, num_drawings=20, turn=True, move=move)
    fullest = set()
    for _ in range(40):
        drawings = task.sample(rng).inputs[:, :81].reshape(-1, 9, 9)
        assert drawings.min() >= 0.0 and drawings.max() <= 1.0
        assert (len(np.unique(drawings, axis=0)) > 10) == move
        ink = drawings.sum(axis=0)
        sides = (ink[:3], ink[-3:], ink[:, :3], ink[:, -3:])
        fullest.add(int(np.argmax([side.sum() for side in sides])))
    assert fullest == {0, 1, 2, 3}


def test_accuracy_is_counted_by_how_often_a_class_was_seen(characters, rng):
    task = OmniglotTask(characters, num_classes=3, num_drawings=4)
    batch = task.batch(20, rng)
    same = np.all(batch.targets[:, :, None] == batch.targets[:, None], axis=-1)
    is_first = np.sum(np.tril(same), axis=2) == 1
    outputs = np.where(is_first[:, :, None], -batch.targets, batch.targets)
    accuracy = task.instance_accuracy(batch, outputs)
    np.testing.assert_array_equal(accuracy, [0.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(task.errors(batch, outputs), 3 / 12)
    pad = [(0, 0), (0, 5), (0, 0)]  # as `Levels` do
    longer = EpisodeBatch(
        np.pad(batch.inputs, pad),
        np.pad(batch.targets, pad),
        np.pad(batch.mask, pad[:2]),
    )
    padded = np.pad(outputs, pad)
    np.testing.assert_array_equal(task.instance_accuracy(longer, padded), accuracy)
    np.testing.assert_allclose(task.errors(longer, padded), 3 / 12)


def test_of_a_string_every_letter_must_be_right(characters):
    task = OmniglotTask(characters, num_classes=2, num_drawings=1, labels="letters")
    right = np.zeros((1, 2, 25), "float32")
    right[0, :, [0, 6, 12, 18, 24]] = 1.0  # abcde
    said = right.copy()
    said[0, 1, 24], said[0, 1, 23] = 0.0, 1.0
    batch = EpisodeBatch(np.zeros((1, 2, 61)), right, np.ones((1, 2)))
    assert task.errors(batch, said).tolist() == [0.5]
    episode = task.episode(np.zeros((2, 6, 6)), right[0])
    assert task.to_text(episode, said[0]) == "0 abcde abcde\n1 abcde abcdd"


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"num_classes": 8}, "must be at least `num_classes`"),
        ({"num_drawings": 13}, "at least `num_drawings` of each"),
        ({"labels": "words"}, "must be 'one-hot' or 'letters'"),
        ({"num_classes": 0}, "must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(characters, arguments, message):
    with pytest.raises(ValueError, match=message):
        OmniglotTask(characters, **arguments)


@pytest.mark.parametrize(
    "drawings",
    [
        np.zeros((12, 36)),
        np.zeros((12, 6, 5)),
        np.full((12, 6, 6), np.nan),
        np.full((12, 6, 6), 255, "uint8"),
        np.full((12, 6, 6), -0.5),
        np.full((12, 6, 6), "ink"),
        np.float32(1.0),
    ],
)
def test_drawings_that_are_no_pictures_are_refused_by_name(characters, drawings):
    characters["Latin/character06"] = drawings
    with pytest.raises(ValueError, match=r"characters\['Latin/character06'\] of shape"):
        OmniglotTask(characters)


def test_an_episode_of_another_shape_is_refused(characters):
    with pytest.raises(ValueError, match="must have shapes"):
        OmniglotTask(characters).episode(np.zeros((2, 6, 6)), np.zeros((3, 5)))
