"""Train a memory network to plan: move blocks until a goal, asked by its name, is met.

    python examples/train_shrdlu.py
    python examples/train_shrdlu.py --cell lstm --output runs/shrdlu-lstm

It reads several goals, is asked for one by its letter, and moves blocks. It learns from
rewards alone, by advantage actor-critic, in lessons of rising difficulty; --warm-up
epochs learn the moves of a solver before. It is tested on new puzzles of the last
lesson, and a linear probe reads its plan from the memory. It resumes if it was killed.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_dnc
from keras_dnc.inspect.probe import linear_probe
from keras_dnc.inspect.trace import trace
from keras_dnc.tasks import shrdlu
from keras_dnc.tasks.levels import Levels

CONTENT = {"temporal_links": False, "normalize": True, "masked_content": True}
CONTENT["control_biases"] = {"read_strengths": 5.0, "write_strengths": 5.0}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cell", default="dnc", choices=["dnc", "lstm"])
    add("--units", default=128, type=int, help="of the LSTM controller, or the LSTMs")
    add("--options", default={}, type=json.loads, help="changes to the cell, in JSON")
    add("--task", default={}, type=json.loads, help="changes to the task, in JSON")
    add("--hidden", default=[128], type=json.loads, help="units before the policy")
    add("--goal", default=0.75, type=float, help="SPL that ends a lesson")
    add("--boards", default=128, type=int, help="episodes of an update")
    add("--steps", default=200, type=int, help="updates in an epoch")
    add("--epochs", default=120, type=int)
    add("--warm-up", default=0, type=int, help="epochs that learn the solver's moves")
    add("--learning-rate", default=3e-3, type=float, help="falls to a twentieth")
    add("--discount", default=0.95, type=float)
    add("--entropy", default=0.25, type=float, help="weight of the bonus")
    add("--move-cost", default=0.05, type=float)
    add("--test-size", default=1000, type=int, help="episodes of the test")
    add("--probe-size", default=6000, type=int, help="episodes of the probe")
    add("--output", default=pathlib.Path("runs/shrdlu"), type=pathlib.Path)
    add("--seed", default=0, type=int)
    return parser.parse_args()


def recurrent_layers(settings):
    """The layers between the observations and the policy and value."""
    flags = {"return_sequences": True, "return_state": True}
    if settings.cell == "lstm":
        return [keras.layers.LSTM(settings.units, **flags) for _ in range(2)]
    options = {"memory_size": 16, "word_size": 32, "num_reads": 2} | CONTENT
    lstm = keras_dnc.NormalizedLSTMCell(settings.units)
    controller = keras_dnc.SkipController(lstm, skip_units=settings.units // 2)
    cell = keras_dnc.DNCCell(64, controller, **options | settings.options)
    return [keras_dnc.MemoryRNN(cell, **flags)]


def compiled_model(settings, task):
    sizes = task.num_actions, settings.hidden
    model = keras_dnc.ActorCritic(recurrent_layers(settings), *sizes)
    model.build((None, None, task.observation_size))
    rate, updates = settings.learning_rate, settings.steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(rate, updates, alpha=0.05)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=1.0),
        keras_dnc.ActorCriticLoss(settings.entropy),
        jit_compile=True,
    )
    return model


def boards(task, settings, number):
    return shrdlu.ShrdluVectorEnv(task, number, settings.move_cost, "Disabled")


def probe(model, env):
    """Read letter and first move of the last goal from memory, before one is asked."""
    played = keras_dnc.Rollouts(env, 1, seed=3000).play(model, 0, greedy=True)
    observed, targets, _ = played
    rows, act = np.arange(len(observed)), targets[..., -1].argmax(axis=1)
    memory = trace(model, observed).memory[rows, act - 1].reshape(len(rows), -1)
    outputs = model.predict(observed, batch_size=100, verbose=0)
    moves = outputs[rows, act, :-1].argmax(axis=1)
    letters = np.array([puzzle.letters[0, -1] for puzzle in env.puzzles])
    last = [puzzle.asked[0] == len(puzzle.goals[0]) - 1 for puzzle in env.puzzles]
    return {
        "letter of the last goal": linear_probe(memory, letters)._asdict(),
        "first move": linear_probe(memory[last], moves[last])._asdict(),
    }


def draw(log, path):
    axes = Figure(figsize=(14, 4), layout="tight").subplots(1, 3)
    for axis, name in zip(axes, ("solved", "spl", "level"), strict=True):
        for curve in sorted({name, f"val_{name}"} & set(log[0])):
            axis.plot([epoch[curve] for epoch in log], label=curve)
        axis.set(xlabel="epoch", ylabel=name)
        axis.legend()
    axes[0].figure.savefig(path, dpi=120)


def main():
    settings = parse_arguments()
    folder = settings.output
    folder.mkdir(parents=True, exist_ok=True)
    try:
        free = ("output", "test_size", "probe_size")
        keras_dnc.check_settings(folder / "config.json", vars(settings), free)
    except ValueError as error:
        sys.exit(str(error))
    keras.utils.set_random_seed(settings.seed)
    keras_dnc.cache_compiled_programs("runs/xla")
    levels = Levels(shrdlu.ShrdluTask.lessons(**settings.task), pad_to_level=True)
    last = levels.tasks[-1]
    model = compiled_model(settings, last)
    rollouts = keras_dnc.Rollouts(
        boards(levels, settings, settings.boards),
        settings.steps,
        settings.discount,
        imitation_epochs=settings.warm_up,
        seed=settings.seed,
    )
    held_out = keras_dnc.Rollouts(boards(last, settings, 200), 1, seed=1000)
    curriculum = keras_dnc.Curriculum(levels, "spl", settings.goal, mode="max")
    run = model, rollouts, folder / "training", "val_spl", settings.epochs, [curriculum]
    log = keras_dnc.fit_or_resume(*run, validation_data=held_out, mode="max")
    test = keras_dnc.Rollouts(boards(last, settings, settings.test_size), 1, seed=2000)
    model.save(folder / "model.keras")
    minutes = round(sum(epoch["seconds"] for epoch in log) / 60, 1)
    metrics = {"scores": model.evaluate(test), "minutes": minutes}
    metrics |= {"updates": settings.steps * len(log), "level": log[-1]["level"]}
    if settings.cell == "dnc":
        metrics["probe"] = probe(model, boards(last, settings, settings.probe_size))
    print(text := json.dumps(metrics, indent=1))
    (folder / "metrics.json").write_text(text + "\n")
    draw(log, folder / "learning.png")


if __name__ == "__main__":
    main()
