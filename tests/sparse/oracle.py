"""SAM and SDNC in float64 NumPy, one sequence, dense, written from the paper.

Rae et al. 2016, sections 3.1 to 3.3 and appendix D. Weights are rows over all slots,
most of them zero; the least recently accessed slot is found by a scan, the best slots
by a sort. The guards of the package alone are added: 1e-6 in norms and in the cosine.
Nothing here is shared with the package.
"""

import numpy as np

GUARD = 1e-6
DELTA = 0.005


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0)


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def best(values, count):
    """The largest values' places, first of ties first."""
    return np.argsort(-values, kind="stable")[:count]


def content_weights(memory, key, strength, count):
    """Softmax over the rows most like the key, ranked by cosine."""
    norms = np.sqrt(np.sum(memory * memory, axis=1))
    chosen = best(memory @ key / (norms + GUARD), count)
    rows = memory[chosen]
    norms = np.sqrt(np.sum(rows * rows, axis=1) + GUARD)
    cosines = rows @ key / (norms * np.sqrt(key @ key + GUARD) + GUARD)
    weights = np.zeros(len(memory))
    weights[chosen] = softmax(strength * cosines)
    return weights


def only_best(rows, count):
    """Each row with all but its largest entries set to zero."""
    kept = np.zeros_like(rows)
    for row, old in zip(kept, rows, strict=True):
        places = best(old, count)
        row[places] = old[places]
    return kept


class SAM:
    """One sequence of a SAM, or with `link_top_k` of an SDNC."""

    def __init__(
        self,
        weights,
        memory_size,
        word_size,
        num_reads,
        top_k,
        link_top_k=None,
        frozen_links=None,
    ):
        self.weights = weights
        # What links lead to, head by head: no gradient flows through it.
        self.link_history, self.frozen_links = [], frozen_links
        self.top_k = top_k
        self.link_top_k = link_top_k
        self.memory = np.zeros((memory_size, word_size))
        self.last_access = np.zeros(memory_size)
        self.time = 0
        self.read_weights = np.zeros((num_reads, memory_size))
        self.read_words = np.zeros((num_reads, word_size))
        units = weights["recurrent_kernel"].shape[0]
        self.hidden, self.carry = np.zeros(units), np.zeros(units)
        self.backward = np.zeros((memory_size, memory_size))
        self.forward = np.zeros((memory_size, memory_size))
        self.precedence = np.zeros(memory_size)

    def run(self, inputs):
        return np.array([self.step(x) for x in inputs])

    def step(self, x):
        self.time += 1
        features = self.controller(np.concatenate([x, self.read_words.ravel()]))
        control = {
            name: features @ kernel + bias
            for name, (kernel, bias) in self.weights["interface"].items()
        }
        write = self.write(control)
        if self.link_top_k:
            self.link(write)
        self.read(control)
        access = write + np.sum(self.read_weights, axis=0)
        self.last_access[access > DELTA] = self.time
        kernel, bias = self.weights["output"]
        output = np.concatenate([features, self.read_words.ravel()]) @ kernel + bias
        return np.clip(output, -20.0, 20.0)

    def controller(self, x):
        w = self.weights
        gates = x @ w["kernel"] + self.hidden @ w["recurrent_kernel"] + w["bias"]
        gate_in, forget, new, gate_out = np.split(gates, 4)
        self.carry = sigmoid(forget) * self.carry + sigmoid(gate_in) * np.tanh(new)
        self.hidden = sigmoid(gate_out) * np.tanh(self.carry)
        return self.hidden

    def write(self, control):
        """w = alpha (sum_i gamma_i w_i^r + gamma_0 1_LRA); erase LRA, then add."""
        least_recent = np.argmin(self.last_access)
        mode = softmax(control["write_mode"])
        write = mode[:-1] @ self.read_weights
        write[least_recent] += mode[-1]
        write = sigmoid(control["write_gate"]) * write
        self.memory[least_recent] = 0.0
        self.memory += np.outer(write, control["write_vector"])
        return write

    def link(self, write):
        """N and P of appendix D, rows kept to their largest; see `SparseLinkage`."""
        kept = (1.0 - write)[:, None]
        off_diagonal = 1.0 - np.eye(len(write))
        backward = kept * self.backward + np.outer(write, self.precedence)
        forward = kept * self.forward + np.outer(self.precedence, write)
        self.backward = only_best(backward * off_diagonal, self.link_top_k)
        self.forward = only_best(forward * off_diagonal, self.link_top_k)
        precedence = (1.0 - np.sum(write)) * self.precedence + write
        self.precedence = only_best(precedence[None], self.link_top_k)[0]

    def read(self, control):
        heads, slots = self.read_weights.shape
        keys = control["read_keys"].reshape(heads, -1)
        strengths = softplus(control["read_strengths"])
        before, self.read_weights = self.read_weights, np.zeros((heads, slots))
        for head in range(heads):
            weights = content_weights(
                self.memory, keys[head], strengths[head], self.top_k
            )
            if self.link_top_k:
                mode = softmax(control["read_mode"].reshape(heads, 3)[head])
                links = [before[head] @ self.backward, before[head] @ self.forward]
                if self.frozen_links:
                    links = self.frozen_links[len(self.link_history)]
                self.link_history.append(links)
                backward, forward = only_best(np.array(links), self.top_k)
                weights = mode[0] * backward + mode[1] * forward + mode[2] * weights
                weights = only_best(weights[None], self.top_k)[0]
            self.read_weights[head] = weights
        self.read_words = self.read_weights @ self.memory
