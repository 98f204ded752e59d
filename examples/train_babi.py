"""Train a Differentiable Neural Computer on bAbI stories, word by word.

    python examples/train_babi.py --tasks 1 --data path/to/babi --seeds 0,1,2

A story is one sequence; the model answers at each `-` (Graves et al. 2016). Stories cut
after their first questions are the first lessons. Killed and started again with the
same --output, a run goes on after its last finished epoch. With KERAS_BACKEND=jax and a
file of `python -m keras_dnc.tasks.babi.prepare` as --data, no TensorFlow is needed.
"""

import argparse
import json
import pathlib

import keras

import keras_dnc
from keras_dnc.tasks import babi

SIZES = {"memory_size": 32, "word_size": 32, "num_reads": 2}
RECIPE = {**SIZES, "normalize": True, "bypass_dropout": 0.2}
MONITOR = "val_question_error"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", default="1", help="such as 1, 1,4,15 or all")
    add("--subset", default="en-10k", help="en, en-10k, en-valid, ...")
    add("--data", help="archive, folder or prepared file; downloaded where not given")
    add("--output", default="runs/babi", type=pathlib.Path)
    add("--seeds", default="0", help="one run each, such as 0,1,2,3,4")
    add("--lessons", default="1:100,3:20", help="first questions:epochs at most")
    add("--passed", default=0.05, type=float, help="held-out error that ends a lesson")
    add("--epochs", default=30, type=int, help="of whole stories, after the lessons")
    add("--patience", default=15, type=int, help="of whole stories: epochs no better")
    add("--batch-size", default=16, type=int, help="stories in an update")
    add("--learning-rate", default=3e-3, type=float, help="falls in the last lesson")
    add("--embedding-size", default=32, type=int)
    add("--controller", default=64, type=int, help="LSTM units")
    add("--cell", default={}, type=json.loads, help="changes to RECIPE, in JSON")
    add("--thinking-steps", default=0, type=int, help="blanks before an answer")
    add("--longest", default=10**6, type=int, help="longer stories are not trained on")
    add("--policy", default="float32", help="such as mixed_bfloat16, for accelerators")
    add("--tensorboard", action="store_true", help="needs TensorFlow")
    return parser.parse_args()


def new_model(words, rate, settings):
    cell = keras_dnc.DNCCell(words, settings.controller, **RECIPE | settings.cell)
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(words, settings.embedding_size)(tokens)
    dnc = keras_dnc.MemoryRNN(cell, return_sequences=True, name="dnc")
    logits = keras.layers.Activation("linear", dtype="float32")(dnc(embedded))
    model = keras.Model(tokens, logits)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=10.0),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras_dnc.QuestionError(babi.UNKNOWN)],
        jit_compile=True,
    )
    return model


def take_lessons(encoded, words, seed, output, settings):
    """Go from short stories to whole ones; give the model, batches, and each log."""
    # Stories arrive task by task: every tenth is a fair tenth of each task.
    held_out = encoded[::10]
    training = [story for number, story in enumerate(encoded) if number % 10]
    training = [story for story in training if len(story.tokens) <= settings.longest]
    logs, last = {}, None
    for lesson in f"{settings.lessons},whole:{settings.epochs}".strip(",").split(","):
        name, epochs = lesson.split(":")
        count = 10**6 if name == "whole" else int(name)
        seen, judged = (
            [babi.first_questions(story, count) for story in stories]
            for stories in (training, held_out)
        )
        order = {"shuffle": True, "seed": seed}
        batches = babi.StoryBatches(seen, settings.batch_size, **order)
        rate, end = settings.learning_rate, keras_dnc.StopAt(MONITOR, settings.passed)
        if name == "whole":
            updates, patience = int(epochs) * len(batches), settings.patience
            rate = keras.optimizers.schedules.CosineDecay(rate, updates, alpha=0.02)
            end = keras.callbacks.EarlyStopping(MONITOR, mode="min", patience=patience)
        model = new_model(words, rate, settings)
        if last is not None:
            model.set_weights(last.get_weights())
        callbacks = [end]
        if settings.tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(output / name / "tensorboard"))
        logs[name] = keras_dnc.fit_or_resume(
            *(model, batches, output / name, MONITOR, int(epochs), callbacks),
            validation_data=batches.like(judged),
        )
        last = model
    return model, batches, logs


def load(tasks, split, settings):
    stories = []
    for task in tasks:
        config = f"{settings.subset}-qa{task}"
        stories += babi.load_stories(config, split, settings.data)
    return stories


def solve(tasks, seed, settings):
    """Train and test one model, unless that is done; gives test errors in percent."""
    output = settings.output / f"seed{seed}"
    output.mkdir(parents=True, exist_ok=True)
    keras_dnc.check_settings(output / "config.json", vars(settings), ("seeds", "data"))
    if (file := output / "metrics.json").exists():
        found = json.loads(file.read_text())["test_error_percent"]
        return {int(task): error for task, error in found.items()}
    keras.utils.set_random_seed(seed)
    stories, blanks = load(tasks, "train", settings), settings.thinking_steps
    vocabulary = babi.Vocabulary.from_stories(stories)
    encoded = [babi.encode_story(story, vocabulary, blanks) for story in stories]
    model, batches, logs = take_lessons(
        encoded, len(vocabulary), seed, output, settings
    )
    errors = {}
    for task in tasks:
        stories = load([task], "test", settings)
        encoded = [babi.encode_story(story, vocabulary, blanks) for story in stories]
        errors[task] = 100.0 * model.evaluate(batches.like(encoded))[1]
    model.save(output / "model.keras")
    minutes = sum(row["seconds"] for log in logs.values() for row in log) / 60.0
    metrics = {"test_error_percent": errors, "minutes": minutes}
    metrics |= {"epochs": {name: len(log) for name, log in logs.items()}}
    metrics |= {"words": vocabulary.words[2:], "backend": keras.backend.backend()}
    file.write_text(json.dumps(metrics, indent=1))
    return errors


def main():
    settings = parse_arguments()
    keras.config.set_dtype_policy(settings.policy)
    tasks = range(1, 21) if settings.tasks == "all" else settings.tasks.split(",")
    tasks, seeds = [int(task) for task in tasks], settings.seeds.split(",")
    print(babi.error_table([solve(tasks, int(seed), settings) for seed in seeds]))


if __name__ == "__main__":
    main()
