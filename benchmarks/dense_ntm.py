"""A dense Neural Turing Machine cell, for comparison: every step passes over all slots.

Graves et al. 2014, section 3: content weights, gate, shift by -1, 0 or 1, sharpening;
one write head. Gradients are left to the backend, as they are in other packages.
"""

import keras
from keras import ops


class DenseNTMCell(keras.layers.Layer):
    """An NTM as `keras.layers.RNN` takes it.

    Args:
        output_size: Numbers in the output.
        units: Of the LSTM controller.
        memory_size: Slots.
        word_size: Numbers in a slot.
        num_reads: Read heads.
    """

    def __init__(self, output_size, units, memory_size, word_size, num_reads):
        super().__init__()
        self.output_size = output_size
        self.memory_size = memory_size
        self.word_size = word_size
        self.heads = num_reads + 1  # the last one writes
        self.controller = keras.layers.LSTMCell(units)
        self.interface = keras.layers.Dense(
            self.heads * (word_size + 6) + 2 * word_size
        )
        self.output_linear = keras.layers.Dense(output_size)
        words = num_reads * word_size
        weights = self.heads * memory_size
        self.state_size = [output_size, words, memory_size * word_size, weights]
        self.state_size += [units, units]

    def build(self, input_shape):
        """Create the weights."""
        words, units = self.state_size[1], self.state_size[-1]
        self.controller.build((None, input_shape[-1] + words))
        self.interface.build((None, units))
        self.output_linear.build((None, units + words))

    def call(self, inputs, states):
        """Address, write, read."""
        _, words, memory, weights, *controller = states
        memory = ops.reshape(memory, (-1, self.memory_size, self.word_size))
        weights = ops.reshape(weights, (-1, self.heads, self.memory_size))
        features, controller = self.controller(
            ops.concatenate([inputs, words], axis=1), controller
        )
        split = self.heads * (self.word_size + 6)
        heads, vectors = ops.split(self.interface(features), [split], axis=1)
        heads = ops.reshape(heads, (-1, self.heads, self.word_size + 6))
        weights = self._address(memory, weights, heads)
        erase, add = ops.split(vectors[:, None, :], 2, axis=2)
        write = weights[:, -1, :, None]
        memory = memory * (1.0 - write * ops.sigmoid(erase)) + write * add
        words = ops.reshape(ops.matmul(weights[:, :-1], memory), ops.shape(words))
        output = self.output_linear(ops.concatenate([features, words], axis=1))
        memory = ops.reshape(memory, (-1, self.memory_size * self.word_size))
        weights = ops.reshape(weights, (-1, self.heads * self.memory_size))
        return output, [output, words, memory, weights, *controller]

    def _address(self, memory, weights, heads):
        keys, rest = ops.split(heads, [self.word_size], axis=2)
        strength, gate, gamma, shift = ops.split(rest, [1, 2, 3], axis=2)
        norms = _norm(keys) * ops.transpose(_norm(memory), (0, 2, 1))
        cosine = ops.matmul(keys, ops.transpose(memory, (0, 2, 1))) / (norms + 1e-6)
        content = ops.softmax(ops.softplus(strength) * cosine, axis=-1)
        gate, shift = ops.sigmoid(gate), ops.softmax(shift, axis=-1)
        weights = gate * content + (1.0 - gate) * weights
        shifted = sum(
            shift[:, :, place : place + 1] * ops.roll(weights, place - 1, axis=2)
            for place in range(3)
        )
        sharp = (shifted + 1e-12) ** (1.0 + ops.softplus(gamma))
        return sharp / ops.sum(sharp, axis=-1, keepdims=True)


def _norm(vectors):
    return ops.sqrt(ops.sum(ops.square(vectors), axis=2, keepdims=True) + 1e-6)
