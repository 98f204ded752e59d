"""Train a memory network to answer questions about graphs it has never seen.

    python examples/train_graph.py --task traversal --map FOLDER

Training graphs are random; FOLDER has a map to test on. With `--weights`, a network of
traversal goes on to inference, which it learns faster. A killed program resumes.
"""

import argparse
import functools
import json
import pathlib
import sys

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_dnc
from keras_dnc.tasks import graphs
from keras_dnc.tasks.levels import Levels

CONTENT = {"temporal_links": False, "normalize": True, "masked_content": True}
CONTENT["control_biases"] = {"read_strengths": 5.0, "write_strengths": 5.0}
CELLS = {  # class, LSTM of the controller, and options
    "dnc": (keras_dnc.DNCCell, keras_dnc.NormalizedLSTMCell, CONTENT),
    "sam": (keras_dnc.SAMCell, keras_dnc.FusedLSTMCell, {}),
    "sdnc": (keras_dnc.SDNCCell, keras_dnc.FusedLSTMCell, {}),
}
FAMILY = {"relations": graphs.family_relations(), "planning_steps": 4}
TASKS = {  # class, edges asked in the test of a map or tree, and further arguments
    "traversal": (graphs.TraversalTask, 7, {}),
    "inference": (graphs.InferenceTask, 4, FAMILY | {"least_share": 0.05}),
    "shortest_path": (graphs.ShortestPathTask, 4, {}),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--task", default="traversal", choices=TASKS)
    add("--cell", default="dnc", choices=[*CELLS, "lstm"])
    add("--units", default=128, type=int, help="of the LSTM controller")
    add("--options", default={}, type=json.loads, help="changes to the cell, in JSON")
    add("--goal", default=0.9, type=float, help="fraction right that ends a lesson")
    add("--batch-size", default=32, type=int)
    add("--learning-rate", default=2e-3, type=float, help="falls to a twentieth")
    add("--steps", default=200, type=int, help="updates in an epoch")
    add("--epochs", default=300, type=int)
    add("--test-size", default=1000, type=int, help="questions of each test")
    add("--map", help="folder of tables of a transport network")
    add("--output", type=pathlib.Path, help="runs/graph-TASK if not given")
    add("--weights", help="file of a model to start from")
    add("--seed", default=0, type=int)
    return parser.parse_args()


def recurrent_layers(settings):
    """The layers between the steps of an episode and the logits of its digits."""
    units, answer_size = settings.units, graphs.GraphTask.target_size
    if settings.cell == "lstm":
        stack = [keras.layers.LSTM(units, return_sequences=True) for _ in range(2)]
        return [*stack, keras.layers.Dense(answer_size)]
    kind, lstm, options = CELLS[settings.cell]
    options = {"memory_size": 256, "word_size": 64, "num_reads": 2} | options
    controller = keras_dnc.SkipController(lstm(units), skip_units=128)
    cell = kind(answer_size, controller, **options | settings.options)
    return [keras_dnc.MemoryRNN(cell, return_sequences=True)]


def compiled_model(settings):
    inputs = keras.Input((None, graphs.GraphTask.observation_size))
    model = keras.Sequential([inputs, *recurrent_layers(settings)])
    rate, updates = settings.learning_rate, settings.steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(rate, updates, alpha=0.05)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=10.0),
        keras_dnc.GroupedCrossentropy(),
        weighted_metrics=[keras_dnc.ExactGroups(name="right")],
        jit_compile=True,
    )
    return model


def measure(model, settings, task):
    """Score random graphs of the last lesson, and other graphs at a fixed length."""
    predict = functools.partial(model.predict, batch_size=50, verbose=0)
    rng, size = np.random.default_rng([settings.seed, 2000]), settings.test_size
    kind, steps, arguments = TASKS[settings.task]  # a new task has no errors yet
    batches = {"random graphs": kind.lessons(**arguments)[-1].batch(size, rng)}
    exact = kind(min_path=steps, max_path=steps, **arguments)
    if settings.task == "inference":
        tree = functools.partial(graphs.family_tree, 5, 2)
        batches["family trees"] = exact.batch_about(tree, size, rng)
    elif settings.map is not None:
        central = graphs.read_transport_network(settings.map, 2, 2)
        batches["central map"] = exact.batch_about(lambda rng: central, size, rng)
    if settings.task == "shortest_path":
        batches = {name: task.follow(predict, batches[name]) for name in batches}
    scores = {name: task.score(b, predict(b.inputs)) for name, b in batches.items()}
    return {name: score._asdict() for name, score in scores.items()}


def draw(log, path):
    learning, levels = Figure(figsize=(11, 4), layout="tight").subplots(1, 2)
    for axis, name in ((learning, "right"), (levels, "level")):
        axis.plot([epoch[name] for epoch in log])
        axis.set(xlabel="epoch", ylabel=name)
    learning.figure.savefig(path, dpi=120)


def main():
    settings = parse_arguments()
    folder = settings.output or pathlib.Path(f"runs/graph-{settings.task}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        free = ("output", "map", "test_size")
        keras_dnc.check_settings(folder / "config.json", vars(settings), free)
    except ValueError as error:
        sys.exit(str(error))
    keras.utils.set_random_seed(settings.seed)
    keras_dnc.cache_compiled_programs("runs/xla")
    kind, _, arguments = TASKS[settings.task]
    levels = Levels(lessons := kind.lessons(**arguments), pad_to_level=True)
    model = compiled_model(settings)
    if settings.weights is not None:
        model.set_weights(keras.models.load_model(settings.weights).get_weights())
    data = levels.dataset(settings.batch_size, settings.steps, settings.seed)
    monitor, callbacks = "right", []
    if settings.task == "inference":
        monitor, callbacks = "relations_right", [keras_dnc.RelationSampling(levels)]
    elif settings.task == "shortest_path":
        callbacks = [keras_dnc.DAgger(data, lessons[-1])]
    callbacks.append(keras_dnc.Curriculum(levels, monitor, settings.goal, mode="max"))
    held_out = tuple(lessons[-1].batch(300, np.random.default_rng(1000)))
    run = model, data, folder / "training", "val_right", settings.epochs, callbacks
    log = keras_dnc.fit_or_resume(*run, validation_data=held_out, mode="max")
    print(scores := measure(model, settings, lessons[-1]))
    model.save(folder / "model.keras")
    minutes = round(sum(epoch["seconds"] for epoch in log) / 60, 1)
    metrics = {"scores": scores, "minutes": minutes, "level": log[-1]["level"]}
    metrics |= {"updates": settings.steps * len(log), "seed": settings.seed}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    draw(log, folder / "learning.png")


if __name__ == "__main__":
    main()
