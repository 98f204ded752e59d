"""Train End-to-End Memory Networks on bAbI questions: a model per task, or one for all.

    python examples/train_babi_memn2n.py --tasks all --data path/to/babi
    python examples/train_babi_memn2n.py --tasks all --joint --data path/to/babi

A question is answered from the sentences before it (Sukhbaatar et al. 2015). As in the
paper, a model is trained several times from new weights, and the run with the lowest
error on held-out questions is the one that is tested. Killed and started again with the
same --output, a run goes on after its last finished epoch.
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
    add("--joint", action="store_true", help="one model for all tasks")
    add("--subset", default="en-10k", help="en, en-10k, en-valid, ...")
    add("--data", help="bAbI archive or folder; downloaded where not given")
    add("--output", default="runs/babi-memn2n", type=pathlib.Path)
    add("--restarts", default=1, type=int, help="runs to choose from")
    add("--seed", default=0, type=int, help="seed of the first run")
    add("--enough", default=0.5, type=float, help="held-out error %% to stop at")
    add("--epochs", default=60, type=int)
    add("--linear-epochs", default=15, type=int, help="at most, without the softmax")
    add("--batch-size", default=32, type=int)
    add("--learning-rate", default=2e-3, type=float)
    add("--halve-every", default=15, type=int, help="epochs to half the learning rate")
    add("--embedding-dim", default=100, type=int)
    add("--hops", default=3, type=int)
    add("--memory-size", default=50, type=int, help="sentences kept, the newest")
    add("--weight-sharing", default="layerwise", choices=["adjacent", "layerwise"])
    add("--hop-activation", default="relu", help="relu or linear")
    add("--limit", type=int, help="stories of each task and split, for a quick look")
    return parser.parse_args()


def load(tasks, split, settings):
    stories = []
    for task in tasks:
        config = f"{settings.subset}-qa{task}"
        stories += babi.load_stories(config, split, settings.data)[: settings.limit]
    return stories


def encode(stories, vocabulary, settings):
    questions = []
    for story in stories:
        questions += babi.encode_questions(story, vocabulary, settings.memory_size)
    return questions


def build_model(vocabulary_size, settings):
    sentences = keras.Input((None, None), dtype="int32", name="sentences")
    question = keras.Input((None,), dtype="int32", name="question")
    network = keras_dnc.MemN2N(
        vocabulary_size,
        settings.embedding_dim,
        num_hops=settings.hops,
        memory_size=settings.memory_size,
        weight_sharing=settings.weight_sharing,
        hop_activation=settings.hop_activation,
        linear_start=settings.linear_epochs > 0,
    )
    inputs = {"sentences": sentences, "question": question}
    return keras.Model(inputs, network(sentences, question))


def train(training, validation, vocabulary, settings, seed, output):
    """Train once; gives the model and its error on held-out questions in per cent."""
    keras.utils.set_random_seed(seed)
    model = build_model(len(vocabulary), settings)
    batches = babi.QuestionBatches(
        training, settings.batch_size, shuffle=True, seed=seed
    )
    rate = keras.optimizers.schedules.ExponentialDecay(
        settings.learning_rate, settings.halve_every * len(batches), 0.5, staircase=True
    )
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=40.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
        jit_compile=True,
    )
    output.mkdir(parents=True, exist_ok=True)
    callbacks = [
        keras.callbacks.BackupAndRestore(output / "backup"),
        keras.callbacks.CSVLogger(output / "log.csv", append=True),
    ]
    if settings.linear_epochs:
        callbacks.append(keras_dnc.LinearStart(max_epochs=settings.linear_epochs))
    held_out = babi.QuestionBatches(validation, settings.batch_size)
    model.fit(
        batches, validation_data=held_out, epochs=settings.epochs, callbacks=callbacks
    )
    return model, error_percent(model, validation, settings)


def error_percent(model, questions, settings):
    batches = babi.QuestionBatches(questions, settings.batch_size)
    logs = model.evaluate(batches, return_dict=True, verbose=0)
    return 100.0 * (1.0 - logs["accuracy"])


def best_of_restarts(tasks, settings, output):
    """Train and choose; gives the test error of each task in per cent."""
    if (output / "metrics.json").exists():
        return json.loads((output / "metrics.json").read_text())
    stories = load(tasks, "train", settings)
    vocabulary = babi.question_vocabulary(stories)
    # Stories arrive task by task: every tenth is a fair tenth of each task.
    validation = encode(stories[::10], vocabulary, settings)
    del stories[::10]
    training = encode(stories, vocabulary, settings)
    held_out, best = [], None
    for seed in range(settings.seed, settings.seed + settings.restarts):
        print(f"\nTasks {tasks}, seed {seed}")
        run = train(
            training, validation, vocabulary, settings, seed, output / f"seed{seed}"
        )
        held_out.append(run[1])
        best = run if best is None or run[1] < best[1] else best
        if best[1] <= settings.enough:
            break
    best[0].save(output / "model.keras")
    test = {}
    for task in tasks:
        asked = encode(load([task], "test", settings), vocabulary, settings)
        test[task] = error_percent(best[0], asked, settings)
    metrics = {"held_out_error_percent": held_out, "test_error_percent": test}
    metrics["words"] = vocabulary.words
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1))
    return json.loads(json.dumps(metrics))


def main():
    settings = parse_arguments()
    names = babi.TASK_NAMES
    tasks = list(names) if settings.tasks == "all" else settings.tasks.split(",")
    tasks = [int(task) for task in tasks]
    groups = [tasks] if settings.joint else [[task] for task in tasks]
    errors = {}
    for group in groups:
        name = "joint" if settings.joint else f"task{group[0]}"
        metrics = best_of_restarts(group, settings, settings.output / name)
        errors.update(metrics["test_error_percent"])
    print(f"\n{'task':<32}test error %")
    for task, error in errors.items():
        print(f"{task:>2} {names[int(task)]:<29}{error:12.2f}")
    print(f"{'mean':<32}{sum(errors.values()) / len(errors):12.2f}")


if __name__ == "__main__":
    main()
