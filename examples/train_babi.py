"""Train a Differentiable Neural Computer on bAbI stories, word by word.

    python examples/train_babi.py --tasks 1 --data path/to/babi

A story is one sequence; the model answers at each `-` (Graves et al. 2016). Killed and
started again with the same --output, a run goes on after its last finished epoch (the
order of stories is drawn anew).
"""

import argparse
import json
import pathlib

import keras

import keras_dnc
from keras_dnc.tasks import babi


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", default="1", help="such as 1, 1,4,15 or all")
    add("--subset", default="en-10k", help="en, en-10k, en-valid, ...")
    add("--data", help="bAbI archive or folder; downloaded where not given")
    add("--output", default="runs/babi", type=pathlib.Path)
    add("--epochs", default=60, type=int)
    add("--batch-size", default=4, type=int, help="stories in an update")
    add("--learning-rate", default=3e-3, type=float)
    add("--embedding-size", default=32, type=int)
    add("--controller-units", default=64, type=int)
    add("--memory-size", default=16, type=int)
    add("--word-size", default=32, type=int)
    add("--num-reads", default=4, type=int)
    add("--limit", type=int, help="stories of each task and split, for a quick look")
    add("--seed", default=0, type=int)
    return parser.parse_args()


def parse_tasks(text):
    if text == "all":
        return list(babi.TASK_NAMES)
    return [int(task) for task in text.split(",")]


def load(tasks, split, settings):
    stories = []
    for task in tasks:
        config = f"{settings.subset}-qa{task}"
        stories += babi.load_stories(config, split, settings.data)[: settings.limit]
    return stories


def build_model(vocabulary_size, settings):
    cell = keras_dnc.DNCCell(
        output_size=settings.controller_units,
        controller=settings.controller_units,
        memory_size=settings.memory_size,
        word_size=settings.word_size,
        num_reads=settings.num_reads,
    )
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="tokens"),
            keras.layers.Embedding(vocabulary_size, settings.embedding_size),
            keras.layers.RNN(cell, return_sequences=True, name="dnc"),
            keras.layers.Dense(vocabulary_size, name="logits"),
        ]
    )


def train(model, train_batches, validation_batches, settings):
    model.compile(
        keras.optimizers.Adam(settings.learning_rate, global_clipnorm=10.0),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras_dnc.QuestionError(babi.UNKNOWN)],
        jit_compile=True,
    )
    callbacks = [
        keras.callbacks.BackupAndRestore(settings.output / "backup"),
        keras.callbacks.CSVLogger(settings.output / "log.csv", append=True),
    ]
    model.fit(
        train_batches,
        validation_data=validation_batches,
        epochs=settings.epochs,
        callbacks=callbacks,
    )


def evaluate(model, stories_by_task, settings):
    errors = {}
    for task, stories in stories_by_task.items():
        batches = babi.StoryBatches(stories, settings.batch_size)
        logs = model.evaluate(batches, return_dict=True)
        errors[task] = 100.0 * logs["question_error"]
    print(f"\n{'task':<32}test error %")
    for task, error in errors.items():
        print(f"{task:>2} {babi.TASK_NAMES[task]:<29}{error:12.2f}")
    print(f"{'mean':<32}{sum(errors.values()) / len(errors):12.2f}")
    return errors


def main():
    settings = parse_arguments()
    settings.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(settings.seed)
    tasks = parse_tasks(settings.tasks)

    stories = load(tasks, "train", settings)
    vocabulary = babi.Vocabulary.from_stories(stories)
    encoded = [babi.encode_story(story, vocabulary) for story in stories]
    # Stories arrive task by task: every tenth is a fair tenth of each task.
    validation, training = encoded[::10], encoded.copy()
    del training[::10]

    model = build_model(len(vocabulary), settings)
    model.summary()
    train(
        model,
        babi.StoryBatches(
            training, settings.batch_size, shuffle=True, seed=settings.seed
        ),
        babi.StoryBatches(validation, settings.batch_size),
        settings,
    )

    test = {task: [] for task in tasks}
    for story in load(tasks, "test", settings):
        test[story.task].append(babi.encode_story(story, vocabulary))
    errors = evaluate(model, test, settings)
    model.save(settings.output / "model.keras")
    metrics = {"test_error_percent": errors, "words": vocabulary.words}
    (settings.output / "metrics.json").write_text(json.dumps(metrics, indent=1))


if __name__ == "__main__":
    main()
