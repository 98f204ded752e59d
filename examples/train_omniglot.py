"""Train a memory network to tell handwritten characters apart after seeing each once.

    python examples/train_omniglot.py --zips images_background_small1.zip,...

Reads Omniglot's own archives, or, without `--zips`, lets TensorFlow Datasets fetch it.
Alphabets for the test are never trained on. Two convolutions look at each drawing. At
first all of a character are the same drawing: to bind a label to it is learned before
to see what two have in common. Started again with the same arguments, it goes on where
it was.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from keras import layers
from keras import ops
from matplotlib.figure import Figure

import keras_dnc
from keras_dnc.tasks import omniglot
from keras_dnc.tasks.levels import Levels

# Keys are sharp from the start, and written to slots that nothing uses.
BIASES = {"read_strengths": 5.0, "reuse_gate": -2.0}
MANN = {"memory_size": 64, "num_reads": 2, "strength": "softplus"}
MANN |= {"own_write_keys": True, "control_biases": BIASES}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--zips", default=None, help="Omniglot's archives, with commas between")
    add("--test-alphabets", default=None, help="names; a fifth of all if not given")
    add("--cell", default="mann", choices=["lstm", "mann"])
    add("--classes", default=5, type=int, help="characters in an episode")
    add("--drawings", default=10, type=int, help="of each")
    add("--labels", default="one-hot", choices=["one-hot", "letters"])
    add("--pixels", action="store_true", help="no convolutions, as the paper")
    add("--size", default=20, type=int, help="height and width of a drawing")
    add("--goal", default=0.8, type=float, help="loss that ends the same drawings")
    add("--controller", default=200, type=int, help="LSTM units")
    add("--options", default=MANN, type=json.loads, help="all of MANN's own, as JSON")
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=3e-3, type=float, help="falls to nothing")
    add("--steps", default=250, type=int, help="updates in an epoch")
    add("--epochs", default=40, type=int)
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
    same = omniglot.OmniglotTask(omniglot.repeated(training), *sizes)
    turned = omniglot.OmniglotTask(training, *sizes, turn=True)
    return Levels([same, turned]), omniglot.OmniglotTask(test, *sizes)


def seen(inputs, size):
    """Give 64 numbers for each drawing, beside the label of the one before."""
    drawings = ops.reshape(inputs[:, :, : size**2], (-1, size, size, 1))
    drawings = layers.Conv2D(16, 3, 2, "same", activation="relu")(drawings)
    drawings = layers.Conv2D(32, 3, 2, "same", activation="relu")(drawings)
    features = layers.Dense(64)(layers.Flatten()(drawings))
    features = layers.BatchNormalization(momentum=0.9)(features)
    features = ops.reshape(features, (-1, inputs.shape[1], 64))
    return ops.concatenate([features, inputs[:, :, size**2 :]], axis=-1)


def scores(settings, features, target_size):
    units = settings.controller
    if settings.cell == "lstm":
        hidden = layers.LSTM(units, return_sequences=True)(features)
        return layers.Dense(target_size)(hidden)
    cell = keras_dnc.MANNCell(target_size, units, **settings.options)
    return keras_dnc.MemoryRNN(cell, return_sequences=True)(features)


def compiled_model(settings, task):
    inputs = keras.Input((task.max_time, task.observation_size))
    features = inputs if settings.pixels else seen(inputs, settings.size)
    model = keras.Model(inputs, scores(settings, features, task.target_size))
    updates = settings.steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, updates)
    loss, metrics = keras_dnc.SequenceCrossentropy(), [keras_dnc.BitErrors()]
    if settings.labels == "one-hot":
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        metrics = [keras_dnc.InstanceAccuracy(instance) for instance in (1, 2)]
    adam = keras.optimizers.Adam(rate, global_clipnorm=10.0)
    model.compile(adam, loss, weighted_metrics=metrics, jit_compile=True)
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
    keras_dnc.cache_compiled_programs("runs/xla")
    levels, test = read_tasks(settings)
    model = compiled_model(settings, levels)
    log = keras_dnc.fit_or_resume(
        model,
        levels.dataset(settings.batch_size, settings.steps, settings.seed),
        folder / "training",
        monitor="loss",
        epochs=settings.epochs,
        callbacks=[keras_dnc.Curriculum(levels, "loss", settings.goal)],
    )
    batch = test.batch(settings.test_size, np.random.default_rng(2000))
    accuracy = test.instance_accuracy(batch, model.predict(batch.inputs, 50))
    print("% right at the first, second, ... drawing:", *np.round(100 * accuracy, 1))
    model.save(folder / "model.keras")
    minutes = round(sum(epoch["seconds"] for epoch in log) / 60, 1)
    metrics = {"accuracy_by_instance": accuracy.tolist(), "minutes": minutes}
    metrics |= {"updates": settings.steps * len(log), "seed": settings.seed}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    learning, instances = Figure(figsize=(11, 4), layout="tight").subplots(1, 2)
    learning.plot([epoch["loss"] for epoch in log])
    learning.set(title="learning", xlabel="epoch", ylabel="loss")
    instances.plot(range(1, len(accuracy) + 1), 100 * accuracy, "o-")
    instances.set(title="unseen alphabets", xlabel="instance", ylabel="accuracy %")
    learning.figure.savefig(folder / "learning.png", dpi=120)


if __name__ == "__main__":
    main()
