"""A stack as the memory of a network (Joulin & Mikolov 2015), which reverses sequences.

    python examples/stack_memory.py

Softmax a chooses between push, pop and no-op; row 1 is the top, row 0 the new word v.

    M_t[i] = a_push M_{t-1}[i - 1] + a_pop M_{t-1}[i + 1] + a_noop M_{t-1}[i]
    r_t^i = M_t[i]
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

import keras_dnc


class StackState(NamedTuple):
    memory: keras.KerasTensor  # (batch, memory_size, word_size), the top first


@keras.saving.register_keras_serializable(package="stack_memory")
class StackAccess(keras_dnc.Access):
    """Push, pop or keep, softly; a read head for each of the top rows."""

    parts = ("write", "read")

    def __init__(
        self, memory_size, word_size, num_reads=1, control_biases=None, dtype=None, **kw
    ):
        super().__init__(memory_size, word_size, num_reads, dtype, **kw)
        self.create_interface(control_biases)

    @property
    def state_shapes(self):
        return StackState(memory=(self.memory_size, self.word_size))

    @property
    def control_shapes(self):
        return {
            "write_vectors": ((1, self.word_size), "tanh"),  # v_t
            "stack_action": ((3,), "softmax"),  # a_t
        }

    def write(self, controls, state, found):
        push, pop, keep = ops.split(controls.stack_action[..., None], 3, axis=1)
        above = ops.concatenate([controls.write_vectors, state.memory[:, :-1]], axis=1)
        below = ops.pad(state.memory[:, 1:], [(0, 0), (0, 1), (0, 0)])
        return {"memory": push * above + pop * below + keep * state.memory}

    def read(self, controls, state, found):
        missing = max(self.num_reads - self.memory_size, 0)
        rows = ops.pad(found.memory, [(0, 0), (0, missing), (0, 0)])
        return {"read_words": rows[:, : self.num_reads]}


def reversals(count, length, seed, bits=4):
    """Words to remember, then a flag while the answer is due, last word first."""
    words = np.random.default_rng(seed).integers(0, 2, (count, length, bits))
    blank = np.zeros((count, length, bits))
    flag = np.repeat([[0.0], [1.0]], length, axis=0) + np.zeros((count, 1, 1))
    inputs = np.concatenate([np.concatenate([words, blank], axis=1), flag], axis=-1)
    return inputs, np.concatenate([blank, words[:, ::-1]], axis=1), flag[..., 0]


def main():
    keras.utils.set_random_seed(0)
    inputs, targets, answers = reversals(count=2048, length=5, seed=0)
    cell = keras_dnc.AccessCell(4, controller=32, access=StackAccess(16, 8))
    sequence = keras.Input((None, 5))
    outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(sequence)
    model = keras.Model(sequence, outputs)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=True)
    model.fit(inputs, targets, sample_weight=answers, epochs=20, verbose=2)
    inputs, targets, answers = reversals(count=500, length=5, seed=1)
    wrong = (model.predict(inputs, verbose=0) > 0.0) != targets
    print(f"Wrong bits of held-out answers: {np.mean(wrong[answers == 1.0]):.2%}")


if __name__ == "__main__":
    main()
