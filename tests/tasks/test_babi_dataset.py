"""The TFDS builder, by TFDS's own test case, and loading from archive and folder."""

import gzip
import io
import itertools
import json
import os
import pathlib
import tarfile

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

import keras_dnc
from keras_dnc.tasks import babi
from keras_dnc.tasks.babi import babi_dataset_builder
from keras_dnc.tasks.babi import prepare
from keras_dnc.tasks.babi import source
from keras_dnc.tasks.babi.portable import write_portable

pytestmark = pytest.mark.only("tensorflow")
DUMMY = pathlib.Path(babi_dataset_builder.__file__).parent / "dummy_data"
ONE_STORY = {"train": 1, "test": 1}


@pytest.mark.slow
class BabiTask1Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = babi_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["en-10k-qa1", "en-10k-qa19"]
    SPLITS = ONE_STORY


@pytest.mark.slow
class BabiAllTasksTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = babi_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["en-10k-all"]
    SPLITS = {"train": 20, "test": 20}


@pytest.mark.slow
class BabiWithValidationTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = babi_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["en-valid-qa1"]
    SPLITS = {**ONE_STORY, "valid": 1}


def test_every_subset_has_each_task_and_all():
    names = list(babi_dataset_builder.Builder.builder_configs)
    assert len(names) == 8 * 21
    assert {"en-10k-qa1", "en-10k-all", "hn-qa20", "shuffled-10k-qa7"} <= set(names)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive" / "tasks_1-20_v1-2.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as members:
        for file in DUMMY.glob("*/*.txt"):
            members.add(file, f"tasks_1-20_v1-2/{file.parent.name}/{file.name}")
    return path


@pytest.mark.parametrize("place", ["archive", "folder of the archive", "extracted"])
def test_stories_load_from_any_form_of_the_data(archive, tmp_path, place):
    data = {
        "archive": archive,
        "folder of the archive": archive.parent,
        "extracted": DUMMY,
    }[place]
    stories = babi.load_stories("en-10k-qa1", "test", data, tmp_path / "prepared")
    lines = stories[0].lines
    assert lines[0] == babi.Line("John travelled to the hallway.")
    assert lines[2] == babi.Line("Where is John?", "hallway", (1,))
    assert stories[0].task == 1


def test_tfds_itself_takes_the_archive_as_manual_dir(archive, tmp_path):
    builder = tfds.builder("babi/en-10k-qa2", data_dir=tmp_path / "prepared")
    config = tfds.download.DownloadConfig(manual_dir=archive)
    builder.download_and_prepare(download_config=config)
    assert builder.info.splits["train"].num_examples == 1


def prepared(folder, config="en-10k-all"):
    """Load the way that users of tensorflow-datasets do."""
    manual = tfds.download.DownloadConfig(manual_dir=DUMMY)
    return tfds.load(
        f"babi/{config}",
        split="train[:90%]",
        data_dir=folder,
        download_and_prepare_kwargs={"download_config": manual},
    )


@pytest.mark.parametrize("thinking_steps", [0, 2])
def test_stories_encoded_by_tf_data_are_those_of_encode_story(tmp_path, thinking_steps):
    stories = babi.load_stories("en-10k-all", "train[:90%]", DUMMY, tmp_path)
    vocabulary = babi.Vocabulary.from_stories(stories)
    vocabulary = babi.Vocabulary(vocabulary.words[2:-5])  # some words are unknown
    encoder = babi.story_encoder(vocabulary, thinking_steps)
    encoded = list(prepared(tmp_path).map(encoder).as_numpy_iterator())
    assert len(encoded) == len(stories) == 18
    for fields, story in zip(encoded, stories, strict=True):
        _, *expected = babi.encode_story(story, vocabulary, thinking_steps)
        for field, other in zip(fields, expected, strict=True):
            assert field.dtype == other.dtype
            np.testing.assert_array_equal(field, other)


def test_a_model_is_fitted_to_a_tf_data_pipeline(tmp_path):
    stories = babi.load_stories("en-10k-qa1", "train", DUMMY, tmp_path)
    vocabulary = babi.Vocabulary.from_stories(stories)
    encoder = babi.story_encoder(vocabulary)
    batches = prepared(tmp_path).map(encoder).shuffle(20, seed=0).padded_batch(4)
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(len(vocabulary), 4)(tokens)
    logits = keras.layers.Dense(len(vocabulary))(embedded)
    model = keras.Model(tokens, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, weighted_metrics=[keras_dnc.QuestionError()])
    history = model.fit(batches, verbose=0).history
    assert 0.0 <= history["question_error"][0] <= 1.0


def test_text_can_be_left_undecoded(tmp_path):
    manual = tfds.download.DownloadConfig(manual_dir=DUMMY)
    builder = tfds.builder("babi/en-10k-qa1", data_dir=tmp_path)
    builder.download_and_prepare(download_config=manual)
    only_task = tfds.decode.PartialDecoding({"task": True})
    (example,) = builder.as_dataset(split="train", decoders=only_task)
    assert set(example) == {"task"}


def test_a_story_is_no_pair_of_input_and_label(tmp_path):
    manual = {"download_config": tfds.download.DownloadConfig(manual_dir=DUMMY)}
    with pytest.raises(ValueError, match="as_supervised"):
        tfds.load(
            "babi/en-10k-qa1",
            as_supervised=True,
            data_dir=tmp_path,
            download_and_prepare_kwargs=manual,
        )


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_path_without_babi_is_refused(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="archive tasks_1-20_v1-2.tar.gz"):
        babi.load_stories("en-10k-qa1", "test", tmp_path / place, tmp_path)


@pytest.mark.parametrize("place", ["nowhere", "empty", "other"])
def test_a_manual_dir_without_babi_is_refused(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("no stories")
    builder = tfds.builder("babi/en-10k-qa1", data_dir=tmp_path / "prepared")
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / place)
    with pytest.raises(FileNotFoundError, match="archive tasks_1-20_v1-2.tar.gz"):
        builder.download_and_prepare(download_config=config)


def test_a_broken_archive_is_refused(tmp_path):
    broken = tmp_path / "tasks_1-20_v1-2.tar.gz"
    broken.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="must be a whole tar.gz archive"):
        babi.load_stories("en-10k-qa1", "test", broken, tmp_path)


def edited(folder):
    """Write the files of task 1 with another name in them, and return their folder."""
    files = folder / "edited" / "en-10k"
    files.mkdir(parents=True)
    for file in DUMMY.glob("en-10k/qa1_*"):
        (files / file.name).write_text(file.read_text().replace("Mary", "Emily"))
    return files.parent


def test_stories_prepared_from_other_files_are_refused(archive, tmp_path):
    babi.load_stories("en-10k-qa1", "test", archive, tmp_path)
    assert babi.load_stories("en-10k-qa1", "test", DUMMY, tmp_path)  # the same files
    with pytest.raises(ValueError, match="come from other files"):
        babi.load_stories("en-10k-qa1", "test", edited(tmp_path), tmp_path)


def test_stories_without_a_record_of_their_files_are_compared(archive, tmp_path):
    """TFDS may have prepared them, which leaves none."""
    babi.load_stories("en-10k-qa1", "test", archive, tmp_path)
    (record,) = tmp_path.rglob("source.sha256")
    record.unlink()
    with pytest.raises(ValueError, match="come from other files"):
        babi.load_stories("en-10k-qa1", "test", edited(tmp_path), tmp_path)
    assert not record.exists()
    assert babi.load_stories("en-10k-qa1", "test", DUMMY, tmp_path)
    assert record.exists()


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portable")
    file = folder / "babi.json.gz"
    arguments = ["--data", DUMMY, "--data-dir", folder, "--output", file]
    prepare.main([str(argument) for argument in arguments])
    return file


@pytest.mark.parametrize("config", ["en-10k-qa8", "en-10k-all"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_portable_file_gives_the_same_stories(portable, tmp_path, config, split):
    expected = babi.load_stories(config, split, DUMMY, tmp_path)
    assert babi.load_stories(config, split, portable) == expected


@pytest.mark.parametrize(
    "config,split",
    [("en-qa1", "test"), ("en-10k-qa21", "test"), ("en-10k-qa1", "train[:90%]")],
)
def test_a_portable_file_says_what_it_does_not_hold(portable, config, split):
    with pytest.raises(ValueError, match="`config`.* must"):
        babi.load_stories(config, split, portable)


def test_a_portable_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.json.gz"):
        babi.load_stories("en-10k-qa1", "test", tmp_path / "absent.json.gz")


STORIES = {
    "train": [babi.Story(1, (babi.Line("Mary went home."),))] * 3,
    "test": [babi.Story(2, (babi.Line("Where is Mary?", "home", (1,)),))],
}


@pytest.fixture
def small(tmp_path):
    """A portable file of a few stories."""
    path = tmp_path / "small.json.gz"
    write_portable(path, "en", STORIES)
    return path


def content_of(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def refuses(path, received):
    """Assert that reading names the file and the remedy."""
    with pytest.raises(ValueError, match=f"{path.name}, .*{received}") as raised:
        babi.load_stories("en-all", "train", path)
    assert "`python -m keras_dnc.tasks.babi.prepare`" in str(raised.value)


def test_no_bit_of_a_portable_file_can_change_without_an_error(small):
    content, refused = small.read_bytes(), 0
    for position, bit in itertools.product(range(len(content)), range(8)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << bit
        small.write_bytes(damaged)
        try:
            stories = babi.load_stories("en-all", "train", small)
            assert stories == STORIES["train"]  # the header's time, for example
        except ValueError as error:
            assert "Run that command again" in str(error)
            refused += 1
    assert refused > 8 * (len(content) - 10)  # a header has 10 bytes


def test_a_portable_file_truncated_anywhere_is_refused(small):
    content = small.read_bytes()
    for size in range(len(content)):
        small.write_bytes(content[:size])
        refuses(small, "cannot be read")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"no gzip", gzip.compress(b"no JSON"), gzip.compress(b"\xff")],
    ids=["empty", "plain JSON", "no gzip", "gzip without JSON", "gzip without UTF-8"],
)
def test_a_file_of_another_kind_is_no_portable_file(small, content):
    small.write_bytes(content)
    refuses(small, "cannot be read")


def test_a_folder_is_no_portable_file(tmp_path):
    (tmp_path / "small.json.gz").mkdir()
    refuses(tmp_path / "small.json.gz", "a folder")


@pytest.mark.parametrize(
    "changes,received",
    [
        ({"version": 2}, "of version 2 of the format"),
        ({"subset": None}, "lacks a known 'subset'"),
        ({"subset": "fr"}, "lacks a known 'subset'"),
        ({"splits": None}, "lacks a known 'subset' or its 'splits'"),
        ({"splits": {"train": []}}, r"with the splits \['train'\]"),
        ({"splits": {"train": [[21, []]], "test": []}}, "not as written"),
        ({"splits": {"train": [[1, []]], "test": []}}, "not as written"),
        ({"splits": {"train": [[1, [["text", "answer"]]]], "test": []}}, "as written"),
        ({"splits": {"train": [[1, [["text", 7, []]]]], "test": []}}, "as written"),
        ({"splits": {"train": [[1, [["t", "", ["1"]]]]], "test": []}}, "as written"),
        ({"splits": {"train": {"1": []}, "test": []}}, "as written"),
        ({"splits": {"train": 7, "test": []}}, "as written"),
    ],
)
def test_a_portable_file_of_other_content_is_refused(small, changes, received):
    content = {**content_of(small), **changes}
    small.write_bytes(gzip.compress(json.dumps(content).encode()))
    refuses(small, received)


@pytest.mark.parametrize("content", ["[]", "7", "null"])
def test_json_that_is_no_dict_is_no_portable_file(small, content):
    small.write_bytes(gzip.compress(content.encode()))
    refuses(small, "holds something else")


def test_a_portable_file_without_a_version_is_read(small):
    content = content_of(small)
    del content["version"]
    small.write_bytes(gzip.compress(json.dumps(content).encode()))
    assert babi.load_stories("en-all", "train", small) == STORIES["train"]


def test_equal_stories_give_equal_portable_files(small, tmp_path):
    write_portable(tmp_path / "other.json.gz", "en", STORIES)
    assert (tmp_path / "other.json.gz").read_bytes() == small.read_bytes()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_portable_file_that_cannot_be_written_leaves_the_old_one(
    small, monkeypatch, call
):
    def fail(*arguments):
        raise OSError("disk full")

    before = small.read_bytes()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        write_portable(small, "en", {"train": [], "test": []})
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


@pytest.mark.parametrize("name", ["absent/babi.json.gz", "folder.json.gz"])
def test_a_place_that_cannot_be_written_is_refused_before_loading(
    tmp_path, monkeypatch, capsys, name
):
    (tmp_path / "folder.json.gz").mkdir()
    monkeypatch.setattr(prepare, "load_stories", None)
    with pytest.raises(SystemExit):
        prepare.main(["--output", str(tmp_path / name)])
    assert name in capsys.readouterr().err


def test_the_name_of_a_portable_file_says_so(tmp_path):
    with pytest.raises(SystemExit):
        prepare.main(["--output", str(tmp_path / "babi.txt")])


def test_a_missing_subset_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="files of 'hn' for tasks"):
        babi.load_stories("hn-qa1", "test", DUMMY, tmp_path)


def test_an_unknown_config_is_refused(tmp_path):
    with pytest.raises(ValueError, match="en-10k-qa21"):
        babi.load_stories("en-10k-qa21", "test", DUMMY, tmp_path)


def archive_of(path, files):
    """Write an archive of files, a dict from names to contents."""
    with tarfile.open(path, "w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(f"tasks_1-20_v1-2/en/{name}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return path


def first_task(archive):
    return list(source.read_stories(archive, "en", "train", [1]))


STORY = b"1 Mary went home.\n2 Where is Mary?\thome\t1\n"


def test_no_bit_of_an_archive_can_change_without_an_error(tmp_path):
    name = "qa1_single-supporting-fact_train.txt"
    archive = archive_of(tmp_path / "babi.tar.gz", {name: STORY * 50})
    whole, content = first_task(archive), archive.read_bytes()
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        archive.write_bytes(damaged)
        try:
            assert first_task(archive) == whole  # the header's time, for example
        except (ValueError, FileNotFoundError):
            refused += 1
    assert refused > 0.8 * len(content)


def test_another_archive_than_the_official_one_is_warned_of(tmp_path):
    archive = archive_of(tmp_path / "tasks_1-20_v1-2.tar.gz", {})
    for path in (archive, tmp_path):
        with pytest.warns(UserWarning, match="not the official bAbI archive"):
            assert source.find_source(path) == archive


def test_two_files_of_one_task_are_refused(tmp_path):
    files = {"qa1_a_train.txt": STORY, "qa1_b_train.txt": STORY}
    with pytest.raises(ValueError, match="holds .*qa1_a_train.txt and .*qa1_b_train"):
        first_task(archive_of(tmp_path / "babi.tar.gz", files))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    files = {"qa1_a_train.txt": b"\xef\xbb\xbf" + STORY}
    (story,) = first_task(archive_of(tmp_path / "babi.tar.gz", files))
    assert story.lines[0] == babi.Line("Mary went home.")


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    files = {"qa1_a_train.txt": STORY + b"\xff"}
    with pytest.raises(ValueError, match="must be UTF-8.*qa1_a_train"):
        first_task(archive_of(tmp_path / "babi.tar.gz", files))


def test_without_network_the_error_names_manual_dir_at_once(tmp_path, monkeypatch):
    requests = pytest.importorskip("requests")

    def unreachable(*args, **kwargs):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "head", unreachable)
    builder = babi_dataset_builder.Builder(data_dir=tmp_path, config="en-qa1")
    with pytest.raises(ConnectionError, match="as `manual_dir`: tfds.load"):
        builder.download_and_prepare()
