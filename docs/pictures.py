"""Draw the pictures of the documentation from the pretrained models.

    python docs/pictures.py

Needs `pip install '.[plot,graphs,rl]'`, and Chromium for the picture of the report.
"""

import itertools
import pathlib
import shutil
import string
import subprocess
import tempfile

import networkx
import numpy as np

from keras_dnc import Rollouts
from keras_dnc import saved_models
from keras_dnc.inspect import plots
from keras_dnc.inspect.animation import animate_memory
from keras_dnc.inspect.graph_reasoning import plot_graph_reasoning
from keras_dnc.inspect.report import report
from keras_dnc.inspect.trace import trace
from keras_dnc.tasks import babi
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.copy import RepeatCopyTask
from keras_dnc.tasks.graphs import InferenceTask
from keras_dnc.tasks.graphs import TraversalTask
from keras_dnc.tasks.graphs import family_relations
from keras_dnc.tasks.graphs import family_tree
from keras_dnc.tasks.shrdlu import ShrdluTask
from keras_dnc.tasks.shrdlu import ShrdluVectorEnv
from keras_dnc.tasks.shrdlu import animate_episode

HERE = pathlib.Path(__file__).parent
PICTURES = HERE / "pictures"
PUZZLE = 33  # seed of an episode with two goals of two constraints
STORY = (
    "mary moved to the hallway . sandra went to the office . mary travelled to the "
    "kitchen . where is mary ? -"
)


def draw_repeat_copy():
    """Draw a network that repeats a pattern."""
    model, config, *_ = saved_models.load("repeat-copy-dnc")
    task = RepeatCopyTask(config["num_bits"], max_length=2, max_repeats=2)
    batch = task.batch(1, np.random.default_rng(0))
    seen = trace(model, batch.inputs)
    title = "A DNC repeats two steps of four bits twice"
    figure = plots.plot_memory_use(seen, batch.targets, title=title)
    figure.savefig(PICTURES / "memory_use.png", dpi=100)
    plots.plot_read_modes(seen).savefig(PICTURES / "read_modes.png", dpi=90)
    plots.plot_links(seen).savefig(PICTURES / "links.png", dpi=90)


def animate_copy():
    """Animate a network that copies a sequence."""
    batch = CopyTask(8, 12, 12).batch(1, np.random.default_rng(0))
    seen = trace(saved_models.load("copy-ntm").model, batch.inputs)
    title = (
        "A Neural Turing Machine copies 12 steps: it writes each to the next slot, "
        "then reads them back"
    )
    movie = animate_memory(seen, batch.targets, title=title)
    movie.save(PICTURES / "memory.gif", writer="pillow", dpi=100)


def animate_planning():
    """Animate a network that reads two goals, and meets the requested one."""
    env = ShrdluVectorEnv(ShrdluTask(min_moves=4), 1, autoreset_mode="Disabled")
    model = saved_models.load("shrdlu-dnc").model
    observed = Rollouts(env, steps=1, seed=PUZZLE).play(model, 0, greedy=True)
    seen = trace(model, observed.observations)
    movie = animate_episode(seen, env.task, env.puzzles[0])
    movie.save(PICTURES / "planning.gif", writer="pillow", dpi=70)


def draw_route():
    """Draw a network that follows the longest shortest path of a random graph."""
    task = TraversalTask(20, 20, 2, 4)
    graph = task.draw_graph(np.random.default_rng(5))
    graph = networkx.relabel_nodes(graph, dict(enumerate(string.ascii_uppercase)))
    paths = networkx.all_pairs_shortest_path(graph)
    path = max((path for _, ends in paths for path in ends.values()), key=len)
    labels = [graph.edges[edge]["label"] for edge in itertools.pairwise(path)]
    title = "A route through a graph that the network has never seen"
    asked = task.ask(graph, (path[0], labels))
    figure = draw_reasoning("graph-sam", asked, graph, title)
    figure.savefig(PICTURES / "route.png", dpi=80)


def draw_relation():
    """Draw a network that finds a cousin in a family tree."""
    task = InferenceTask(family_relations(), planning_steps=4)
    tree = family_tree(4, 3, np.random.default_rng(5))
    asked = task.ask(tree, ("Jane", "mother's brother1's son1"))
    title = "Who is the son of the brother of Jane's mother?"
    figure = draw_reasoning("family-dnc", asked, tree, title)
    figure.savefig(PICTURES / "relation.png", dpi=80)


def draw_reasoning(name, asked, graph, title):
    """Return a figure of how a pretrained network answers a question about a graph."""
    model = saved_models.load(name).model
    seen = trace(model, asked.episode.inputs[None])
    return plot_graph_reasoning(seen, asked, graph, title=title)


def draw_story():
    """Draw a network that reads a story and answers a question."""
    model, config, *_ = saved_models.load("babi-dnc")
    words, vocabulary = STORY.split(), babi.Vocabulary(config["words"])
    seen = trace(model, np.array([vocabulary.encode(words)]))
    figure = plots.plot_read_weights(seen, labels=words)
    figure.savefig(PICTURES / "read_weights.png", dpi=90)
    title = "A DNC reads a story and answers a question"
    draw_page(seen, labels=words, classes=vocabulary.words, title=title)


def draw_page(seen, **options):
    """Take a picture of the report in a browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "memory.html"
        report(seen, page, **options)
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu"]
        command += ["--virtual-time-budget=8000", "--window-size=1400,1160"]
        command += [f"--user-data-dir={folder}/profile", "--hide-scrollbars"]
        command += [f"--screenshot={PICTURES / 'report.png'}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)


def main():
    """Draw all, and copy the figures of results and benchmarks."""
    draw_repeat_copy()
    animate_copy()
    animate_planning()
    draw_route()
    draw_relation()
    draw_story()
    results = [f"examples/results/{name}.png" for name in ("copy", "graphs", "shrdlu")]
    for figure in ("benchmarks/speed.png", *results):
        shutil.copy(HERE.parent / figure, PICTURES)


if __name__ == "__main__":
    main()
