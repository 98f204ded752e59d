"""Train End-to-End Memory Networks on bAbI questions: a model per task, or one for all.

    python examples/train_babi_memn2n.py --tasks all --data path/to/babi
    python examples/train_babi_memn2n.py --tasks all --joint --data path/to/babi

A question is answered from the sentences before it (Sukhbaatar et al. 2015). As in the
paper several runs are made, and the best on held-out questions is tested. Killed and
started again with the same --output, training goes on after its last finished epoch.
"""

import argparse
import itertools
import json
import pathlib

import keras

import keras_dnc
from keras_dnc.tasks import babi

MEMORY_SIZE = 50  # sentences that are kept, the newest
BATCH_SIZE, RATE = 32, 0.01  # the rate is for each question of a batch
MODELS = {  # the paper's larger model (appendix, table 3), and one like its table 1's
    "larger": {"weight_sharing": "layerwise", "hop_activation": "relu"},
    "adjacent": {"weight_sharing": "adjacent"},
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", default="1", help="such as 1, 1,4,15 or all")
    add("--joint", action="store_true", help="one model for all tasks")
    add("--data", help="bAbI archive or folder; downloaded where not given")
    add("--output", default="runs/babi-memn2n", type=pathlib.Path)
    add("--models", nargs="+", default=list(MODELS), choices=MODELS)
    add("--seeds", nargs="+", default=[0], type=int)
    add(
        "--enough", default=0.5, type=float, help="held-out error %% to be content with"
    )
    add("--epochs", default=100, type=int)
    add("--linear-epochs", default=20, type=int, help="at most, without the softmax")
    add("--halve-every", default=30, type=int, help="epochs to half the learning rate")
    return parser.parse_args()


def load(tasks, split, data):
    configs = [f"en-10k-qa{task}" for task in tasks]
    return sum((babi.load_stories(config, split, data) for config in configs), [])


def encode(stories, vocabulary):
    encoded = (babi.encode_questions(one, vocabulary, MEMORY_SIZE) for one in stories)
    return [question for questions in encoded for question in questions]


def build_model(words, kind):
    sentences = keras.Input((None, None), dtype="int32")
    question = keras.Input((None,), dtype="int32")
    sizes = {"embedding_dim": 100, "memory_size": MEMORY_SIZE}
    network = keras_dnc.MemN2N(words, **sizes, linear_start=True, **MODELS[kind])
    inputs = {"sentences": sentences, "question": question}
    return keras.Model(inputs, network(**inputs))


def train(model, batches, held_out, output, settings):
    def learning_rate(epoch):
        """Half before the softmax, then halved in steps, as in the paper."""
        steps = 1 if model.layers[-1].is_linear else epoch // settings.halve_every
        # The paper adds up the gradients of a batch; Keras takes their mean.
        return RATE * BATCH_SIZE * 0.5**steps

    model.compile(
        keras.optimizers.SGD(global_clipnorm=40.0 / BATCH_SIZE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
        jit_compile=True,
    )
    callbacks = [
        keras_dnc.LinearStart(max_epochs=settings.linear_epochs),
        keras.callbacks.LearningRateScheduler(learning_rate),
        keras.callbacks.BackupAndRestore(output / "backup", delete_checkpoint=False),
        keras.callbacks.CSVLogger(output / "log.csv", append=True),
    ]
    lengths = {"epochs": settings.epochs, "validation_data": held_out}
    model.fit(batches, **lengths, callbacks=callbacks)


def error_percent(model, questions):
    batches = babi.QuestionBatches(questions, BATCH_SIZE)
    return 100.0 * (1.0 - model.evaluate(batches, return_dict=True)["accuracy"])


def best_model(tasks, words, training, validation, output, settings):
    """Train until a run is good enough; gives the best, and all held-out errors."""
    held_out = babi.QuestionBatches(validation, BATCH_SIZE)
    best, errors = None, {}
    for seed, kind in itertools.product(settings.seeds, settings.models):
        run = f"{kind}-{seed}"
        print(f"\nTasks {tasks}: {run}")
        (output / run).mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(seed)
        model = build_model(words, kind)
        batches = babi.QuestionBatches(training, BATCH_SIZE, shuffle=True, seed=seed)
        train(model, batches, held_out, output / run, settings)
        errors[run] = error_percent(model, validation)
        best = model if errors[run] == min(errors.values()) else best
        if errors[run] <= settings.enough:
            break
    return best, errors


def solve(tasks, output, settings):
    """Train, choose and test, unless that is done; gives the figures."""
    if (file := output / "metrics.json").exists():
        return json.loads(file.read_text())
    stories = load(tasks, "train", settings.data)
    vocabulary = babi.question_vocabulary(stories)
    # Stories arrive task by task: every tenth is a fair tenth of each task.
    validation = encode(stories[::10], vocabulary)
    del stories[::10]
    sets = encode(stories, vocabulary), validation
    model, held_out = best_model(tasks, len(vocabulary), *sets, output, settings)
    errors = {}
    for task in tasks:
        test = encode(load([task], "test", settings.data), vocabulary)
        errors[str(task)] = error_percent(model, test)
    model.save(output / "model.keras")
    metrics = {"test_error_percent": errors, "held_out_error_percent": held_out}
    file.write_text(json.dumps({**metrics, "words": vocabulary.words}, indent=1))
    return metrics


def main():
    settings, errors = parse_arguments(), {}
    keras_dnc.cache_compiled_programs("runs/xla")
    tasks = range(1, 21) if settings.tasks == "all" else settings.tasks.split(",")
    tasks = [int(task) for task in tasks]
    for group in [tasks] if settings.joint else [[task] for task in tasks]:
        name = "joint" if settings.joint else f"task{group[0]}"
        figures = solve(group, settings.output / name, settings)
        errors.update(figures["test_error_percent"])
    print(babi.error_table([{int(task): error for task, error in errors.items()}]))


if __name__ == "__main__":
    main()
