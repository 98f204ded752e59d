"""Every model in the box loads, from both its files, and does what it is there for."""

import pathlib

import numpy as np
import pytest

import keras_dnc
from keras_dnc import saved_models
from keras_dnc.tasks import babi
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.copy import RepeatCopyTask
from keras_dnc.tasks.graphs import InferenceTask
from keras_dnc.tasks.graphs import TraversalTask
from keras_dnc.tasks.graphs import family_relations
from keras_dnc.tasks.graphs import family_tree
from keras_dnc.tasks.graphs import random_graph
from keras_dnc.tasks.omniglot import OmniglotTask
from keras_dnc.tasks.shrdlu import ShrdluVectorEnv
from tests.numbers import assert_close
from tests.numbers import to_numpy

pytestmark = pytest.mark.only("tensorflow")
BOX = pathlib.Path(__file__).parent.parent / "saved_models"
DUMMY = pathlib.Path(babi.__file__).parent / "dummy_data"
MODELS = sorted(path for path in BOX.iterdir() if path.is_dir())
PARTS = {"model.keras", "serving", "config.json", "metrics.json", "README.md"}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_a_folder_has_every_part_and_is_listed(path):
    assert {part.name for part in path.iterdir()} == PARTS
    assert f"[{path.name}]" in (BOX / "README.md").read_text()
    assert sum(file.stat().st_size for file in path.rglob("*")) < 10_000_000


def test_every_model_of_the_clone_is_available():
    assert saved_models.available() == [path.name for path in MODELS]
    for path in MODELS:
        assert saved_models.folder_of(path.name) == path
        assert saved_models.serving_folder_of(path.name) == path / "serving" / "1"


@pytest.fixture(scope="module")
def repeat_copy():
    model, config, _, folder = saved_models.load("repeat-copy-dnc")
    task = RepeatCopyTask(
        config["num_bits"],
        max_length=config["max_length"],
        max_repeats=config["max_repeats"],
    )
    return model, folder, task, task.batch(512, np.random.default_rng(2026))


@pytest.mark.slow
def test_the_keras_model_repeats_without_a_wrong_bit(repeat_copy):
    model, _, task, batch = repeat_copy
    outputs = model.predict(batch.inputs, verbose=0)
    assert np.sum(task.bit_errors(batch, outputs)) == 0


@pytest.mark.slow
def test_the_saved_model_repeats_without_a_wrong_bit(repeat_copy):
    import tensorflow as tf

    _, folder, task, batch = repeat_copy
    (version,) = (folder / "serving").iterdir()
    loaded = tf.saved_model.load(str(version))
    outputs = loaded.signatures["serving_default"](inputs=tf.constant(batch.inputs))
    assert np.sum(task.bit_errors(batch, outputs["outputs"].numpy())) == 0


@pytest.mark.slow
@pytest.mark.parametrize("length", [20, 50])
def test_the_copy_model_copies_longer_sequences_than_it_was_trained_on(length):
    import tensorflow as tf

    model, _, metrics, folder = saved_models.load("copy-ntm")
    assert metrics["by_length"][str(length)] == 0.0
    task = CopyTask(min_length=length, max_length=length)
    batch = task.batch(64, np.random.default_rng(2026))
    outputs = model.predict(batch.inputs, verbose=0)
    loaded = tf.saved_model.load(str(folder / "serving" / "1"))
    served = loaded.signatures["serving_default"](inputs=tf.constant(batch.inputs))
    for logits in (outputs, served["outputs"].numpy()):
        assert np.sum(task.bit_errors(batch, logits)) == 0


def scribble(rng):
    """A line through five points, as a character that nobody has seen."""
    image = pytest.importorskip("PIL.Image")
    drawing = image.new("L", (20, 20))
    points = [tuple(map(int, point)) for point in rng.integers(3, 17, (5, 2))]
    pytest.importorskip("PIL.ImageDraw").Draw(drawing).line(points, fill=255)
    return np.asarray(drawing, "float32") / 255.0


@pytest.mark.slow
def test_the_omniglot_model_names_scribbles_at_second_sight():
    import tensorflow as tf

    model, _, _, folder = saved_models.load("omniglot-mann")
    rng = np.random.default_rng(2026)
    drawings = {f"scribbles/{n}": np.stack([scribble(rng)] * 10) for n in range(30)}
    task = OmniglotTask(drawings, move=True)
    batch = task.batch(32, rng)
    outputs = model.predict(batch.inputs, verbose=0)
    loaded = tf.saved_model.load(str(folder / "serving" / "1"))
    served = loaded.signatures["serving_default"](inputs=tf.constant(batch.inputs))
    for scores in (outputs, served["outputs"].numpy()):
        first, second, *_, last = task.instance_accuracy(batch, scores)
        assert first < 0.5 and second > 0.8 and last > 0.9


@pytest.fixture(scope="module")
def answerer():
    return saved_models.load("babi-dnc")


def vocabulary_of(answerer):
    return babi.Vocabulary(answerer.config["words"])


@pytest.mark.slow
def test_the_babi_model_answers_a_story_of_each_of_its_tasks(answerer, tmp_path):
    stories = [
        babi.load_stories(f"en-10k-qa{task}", "test", DUMMY, tmp_path)[0]
        for task in (1, 4, 6, 9, 10, 12, 20)
    ]
    encoded = [babi.encode_story(story, vocabulary_of(answerer)) for story in stories]
    ((tokens, targets, weights),) = babi.StoryBatches(
        encoded, len(encoded), buckets=[200]
    )
    words = answerer.model.predict(tokens, verbose=0).argmax(-1)
    np.testing.assert_array_equal(words[weights > 0], targets[weights > 0])


@pytest.mark.slow
def test_the_babi_model_is_served_as_it_is(answerer):
    import tensorflow as tf

    words = "mary went to the kitchen . john went to the garden . where is mary ? -"
    vocabulary = vocabulary_of(answerer)
    tokens = np.array([vocabulary.encode(words.split())], "int32")
    loaded = tf.saved_model.load(str(answerer.folder / "serving" / "1"))
    served = loaded.signatures["serving_default"](inputs=tf.constant(tokens))["outputs"]
    assert_close(served.numpy(), to_numpy(answerer.model(tokens)), 1e-4)
    assert vocabulary.words[served[0, -1].numpy().argmax()] == "kitchen"
    assert "step" in loaded.signatures


def different_labels(rng):
    return random_graph(12, 2, 4, rng)


def four_generations(rng):
    return family_tree(4, 2, rng)


OF_FOUR_EDGES = {"min_path": 4, "max_path": 4, "planning_steps": 4}
GRAPHS = {
    "graph-sam": (TraversalTask(10, 12, min_path=3, max_path=3), different_labels),
    "family-dnc": (
        InferenceTask(family_relations(), **OF_FOUR_EDGES),
        four_generations,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_model_answers_questions_about_graphs_it_has_not_seen(name):
    import tensorflow as tf

    model, _, _, folder = saved_models.load(name)
    task, draw = GRAPHS[name]
    batch = task.batch_about(draw, 40, np.random.default_rng(2026))
    loaded = tf.saved_model.load(str(folder / "serving" / "1"))
    served = loaded.signatures["serving_default"](inputs=tf.constant(batch.inputs))
    for outputs in (model.predict(batch.inputs, verbose=0), served["outputs"].numpy()):
        assert task.score(batch, outputs).questions >= 0.9


@pytest.fixture(scope="module")
def planner():
    """The network that plans, and 300 new puzzles of two goals that it has played."""
    model, _, _, folder = saved_models.load("shrdlu-dnc")
    env = ShrdluVectorEnv(num_envs=300, autoreset_mode="Disabled")
    played = keras_dnc.Rollouts(env, steps=1, seed=2026).play(model, 0, greedy=True)
    return model, folder, played


@pytest.mark.slow
def test_the_planning_model_meets_goals_in_puzzles_it_has_not_seen(planner):
    import tensorflow as tf

    model, folder, (observed, _, scores) = planner
    assert scores["solved"] >= 0.99 and scores["moves_ratio"] <= 1.1
    loaded = tf.saved_model.load(str(folder / "serving" / "1"))
    served = loaded.signatures["serving_default"](inputs=tf.constant(observed))
    expected = model.predict(observed, verbose=0)
    assert_close(served["outputs"].numpy(), expected, 1e-4)


@pytest.mark.slow
def test_the_planning_model_keeps_its_goals_in_memory(planner):
    model, _, (observed, *_) = planner
    (layer,) = model.recurrent
    whole = observed[observed[:, 4, -1] == 1.0]  # asked after four constraints
    right = to_numpy(model(whole))[:, 4, :-1].argmax(axis=-1)

    def same_moves(erased):
        _, *states = layer(whole[:, :4])
        names = layer.cell.state_names
        states = [s * (n not in erased) for n, s in zip(names, states, strict=True)]
        outputs, *_ = layer(whole[:, 4:5], initial_state=states)
        moves = to_numpy(model.policy_and_value(outputs))[:, 0, :-1].argmax(axis=-1)
        return np.mean(moves == right)

    assert len(whole) > 50
    assert same_moves({"controller_0", "controller_1"}) > 0.9
    assert same_moves({"memory"}) < 0.75  # some moves begin most solutions
