"""Train a memory network to tell handwritten characters apart after seeing each once.

    python examples/train_omniglot.py --zips images_background_small1.zip,...

Reads Omniglot's own archives, or, without `--zips`, lets TensorFlow Datasets fetch it.
Alphabets for the test are never trained on. At first every drawing of a character is
the same one: to bind a label to a drawing is learned before to see what two have in
common. Started again with the same arguments, it goes on where it was.
"""

import argparse
import json
import pathlib
import sys

import keras
import matplotlib
import numpy as np

import keras_dnc
from keras_dnc.tasks import omniglot
from keras_dnc.tasks.levels import Levels

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--zips", default=None, help="Omniglot's archives, with commas between")
    add("--test-alphabets", default=None, help="names; a fifth of all if not given")
    add("--cell", default="mann", choices=["lstm", "mann", "ntm", "dnc"])
    add("--classes", default=5, type=int, help="characters in an episode")
    add("--drawings", default=10, type=int, help="of each")
    add("--labels", default="one-hot", choices=["one-hot", "letters"])
    add("--move", action="store_true", help="turn and move drawings a little")
    add("--size", default=20, type=int, help="height and width of a drawing")
    add("--goal", default=0.8, type=float, help="loss that ends the same drawings")
    add("--controller", default=100, type=int, help="LSTM units")
    add("--memory-size", default=64, type=int)
    add("--word-size", default=40, type=int)
    add("--num-reads", default=2, type=int)
    add("--options", default="{}", type=json.loads, help="the cell's others, as JSON")
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=3e-3, type=float, help="falls to nothing")
    add("--steps", default=250, type=int, help="updates in an epoch")
    add("--epochs", default=60, type=int)
    add("--test-size", default=1000, type=int, help="episodes")
    add("--output", default="runs/omniglot", type=pathlib.Path)
    add("--seed", default=0, type=int)
    return parser.parse_args()


def read_tasks(settings):
    """The levels to train on, and the task of other alphabets to test on."""
    if settings.zips:
        characters = omniglot.read_zips(settings.zips.split(","), settings.size)
    else:
        characters = omniglot.read_tfds(size=settings.size)
    alphabets = sorted({name.split("/")[0] for name in characters})
    rng = np.random.default_rng(settings.seed)
    held_out = rng.permutation(alphabets)[: -(-len(alphabets) // 5)]
    if settings.test_alphabets:
        held_out = settings.test_alphabets.split(",")
    print(f"{len(characters)} characters; tested on {', '.join(sorted(held_out))}")
    sizes = (settings.classes, settings.drawings, settings.labels)
    training, test = omniglot.split_by_alphabet(characters, held_out)
    same = {
        name: np.repeat(drawings[:1], settings.drawings, axis=0)
        for name, drawings in training.items()
    }
    first = omniglot.OmniglotTask(same, *sizes)
    turned = omniglot.OmniglotTask(training, *sizes, turn=True, move=settings.move)
    levels = Levels([first, turned])
    return levels, omniglot.OmniglotTask(test, *sizes)


def build_model(settings, task):
    inputs = keras.Input((None, task.observation_size))
    if settings.cell == "lstm":
        hidden = keras.layers.LSTM(settings.controller, return_sequences=True)(inputs)
        return keras.Model(inputs, keras.layers.Dense(task.target_size)(hidden))
    cell = getattr(keras_dnc, f"{settings.cell.upper()}Cell")(
        task.target_size,
        controller=settings.controller,
        memory_size=settings.memory_size,
        word_size=settings.word_size,
        num_reads=settings.num_reads,
        **settings.options,
    )
    return keras.Model(inputs, keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs))


def compiled_model(settings, task):
    model = build_model(settings, task)
    updates = settings.steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, updates)
    loss, metrics = keras_dnc.SequenceCrossentropy(), [keras_dnc.BitErrors()]
    if settings.labels == "one-hot":
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        metrics = [keras_dnc.InstanceAccuracy(instance) for instance in (1, 2)]
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=10.0)
    model.compile(optimizer, loss, weighted_metrics=metrics, jit_compile=True)
    return model


def main():
    settings = parse_arguments()
    folder = settings.output
    folder.mkdir(parents=True, exist_ok=True)
    try:
        keras_dnc.check_settings(folder / "config.json", vars(settings), ("output",))
    except ValueError as error:
        sys.exit(str(error))
    keras.utils.set_random_seed(settings.seed)
    levels, test = read_tasks(settings)
    model = compiled_model(settings, levels)
    log = keras_dnc.read_log(folder / "training")
    log = keras_dnc.fit_or_resume(
        model,
        levels.dataset(settings.batch_size, settings.steps, settings.seed),
        folder / "training",
        monitor="loss",
        epochs=settings.epochs,
        callbacks=[keras_dnc.Curriculum(levels, "loss", settings.goal, log)],
    )
    batch = test.batch(settings.test_size, np.random.default_rng(2000))
    outputs = model.predict(batch.inputs, batch_size=50, verbose=0)
    accuracy = test.instance_accuracy(batch, outputs)
    print("\ninstance  accuracy %")
    for instance, figure in enumerate(accuracy, 1):
        print(f"{instance:>8}  {100 * figure:.1f}")
    model.save(folder / "model.keras")
    minutes = round(sum(epoch["seconds"] for epoch in log) / 60, 1)
    metrics = {"accuracy_by_instance": accuracy.tolist(), "minutes": minutes}
    metrics |= {"updates": settings.steps * len(log), "seed": settings.seed}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    figure, (learning, instances) = plt.subplots(1, 2, figsize=(11, 4))
    learning.plot([epoch["loss"] for epoch in log])
    learning.set(title="learning", xlabel="epoch", ylabel="loss")
    instances.plot(range(1, len(accuracy) + 1), 100 * accuracy, "o-")
    instances.set(title="unseen alphabets", xlabel="instance", ylabel="accuracy %")
    figure.savefig(folder / "learning.png", dpi=120)


if __name__ == "__main__":
    main()
