"""The DNC in float64 NumPy, one sequence, one write head, written from the paper.

Graves et al. 2016, Methods. Only the guards of deepmind/dnc are added: usage kept above
1e-6 before the free list is sorted, by freeness in float32, and 1e-6 in norms and in
the cosine. Nothing here is shared with the package.
"""

import numpy as np

GUARD = 1e-6


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0)


def oneplus(x):
    return 1.0 + softplus(x)


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def content_weights(memory, key, strength):
    """C(M, k, beta)[i] = softmax_i(beta cos(k, M[i])), `strength` squashed."""

    def norm(v):
        return np.sqrt(np.sum(v * v) + GUARD)

    cosines = [k @ key / (norm(key) * norm(k) + GUARD) for k in memory]
    return softmax(strength * np.array(cosines))


def usage(usage, write_weights, read_weights, free_gates):
    """u = (u + w - u w) psi, psi = prod_i (1 - f^i w^{r,i})."""
    retention = np.ones_like(usage)
    for gate, weights in zip(free_gates, read_weights, strict=True):
        retention = retention * (1.0 - gate * weights)
    return (usage + write_weights - usage * write_weights) * retention


def allocation(usage):
    """a[phi_j] = (1 - u[phi_j]) prod_{i<j} u[phi_i], phi sorts u ascending."""
    usage = GUARD + (1.0 - GUARD) * usage
    weights, product = np.zeros_like(usage), 1.0
    freeness = np.float32(1.0 - usage)  # float32 ties tiny usages, as deepmind/dnc does
    for slot in np.argsort(-freeness, kind="stable"):
        weights[slot] = (1.0 - usage[slot]) * product
        product *= usage[slot]
    return weights


def link(link, precedence, write_weights):
    """L[i,j] = (1 - w[i] - w[j]) L[i,j] + w[i] p[j], L[i,i] = 0."""
    new = np.zeros_like(link)
    for i in range(len(link)):
        for j in range(len(link)):
            if i != j:
                decay = 1.0 - write_weights[i] - write_weights[j]
                new[i, j] = decay * link[i, j] + write_weights[i] * precedence[j]
    return new


def precedence(precedence, write_weights):
    """p = (1 - sum_i w[i]) p + w."""
    return (1.0 - np.sum(write_weights)) * precedence + write_weights


def lstm(kernel, recurrent_kernel, bias, x, hidden, carry):
    """One step of an LSTM whose gates stand in Keras's order i, f, candidate, o."""
    gates = x @ kernel + hidden @ recurrent_kernel + bias
    i, f, candidate, o = np.split(gates, 4)
    carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(candidate)
    return sigmoid(o) * np.tanh(carry), carry


class DNC:
    """A whole sequence through controller and memory.

    Args:
        weights: Dict of `kernel`, `recurrent_kernel`, `bias` of the LSTM; `interface`,
            dict from a control's name to `(kernel, bias)`; `output`, `(kernel, bias)`.
        sizes: Dict of memory_size, word_size, num_reads.
        strength: `softplus` or `oneplus`.
        clip_value: Bound on controller output, controller state and output.
        frozen_writes: List of write weights that usage takes as constants, or `None`.
    """

    def __init__(self, weights, sizes, strength, clip_value=20.0, frozen_writes=None):
        self.weights = weights
        self.strength = strength
        self.clip_value = clip_value
        self.frozen_writes = frozen_writes
        slots, word, reads = (
            sizes[name] for name in ("memory_size", "word_size", "num_reads")
        )
        units = len(weights["recurrent_kernel"])
        self.shape = (reads, word)
        self.hidden, self.carry = np.zeros(units), np.zeros(units)
        self.memory, self.usage = np.zeros((slots, word)), np.zeros(slots)
        self.link, self.precedence = np.zeros((slots, slots)), np.zeros(slots)
        self.read_weights, self.write_weights = (
            np.zeros((reads, slots)),
            np.zeros(slots),
        )
        self.read_words = np.zeros((reads, word))
        self.write_history = []

    def run(self, inputs):
        return np.stack([self.step(t, x) for t, x in enumerate(inputs)])

    def step(self, time, x):
        w = self.weights
        self.hidden, self.carry = lstm(
            w["kernel"],
            w["recurrent_kernel"],
            w["bias"],
            np.concatenate([x, self.read_words.ravel()]),
            self.hidden,
            self.carry,
        )
        self.hidden, self.carry = self._clip(self.hidden), self._clip(self.carry)
        self._access(time, self._controls(self.hidden))
        kernel, bias = w["output"]
        features = np.concatenate([self.hidden, self.read_words.ravel()])
        return self._clip(features @ kernel + bias)

    def _controls(self, nu):
        raw = {n: nu @ k + b for n, (k, b) in self.weights["interface"].items()}
        reads, word = self.shape
        return {
            "read_keys": raw["read_keys"].reshape(reads, word),
            "read_strengths": self.strength(raw["read_strengths"]),
            "write_key": raw["write_keys"],
            "write_strength": self.strength(raw["write_strengths"])[0],
            "erase": sigmoid(raw["erase_vectors"]),
            "write": raw["write_vectors"],
            "free_gates": sigmoid(raw["free_gate"]),
            "allocation_gate": sigmoid(raw["allocation_gate"])[0],
            "write_gate": sigmoid(raw["write_gate"])[0],
            "modes": [softmax(m) for m in raw["read_mode"].reshape(reads, 3)],
        }

    def _access(self, time, c):
        written = self.write_weights
        if self.frozen_writes is not None and time > 0:
            written = self.frozen_writes[time - 1]
        self.usage = usage(self.usage, written, self.read_weights, c["free_gates"])
        content = content_weights(self.memory, c["write_key"], c["write_strength"])
        gate = c["allocation_gate"]
        mixed = gate * allocation(self.usage) + (1.0 - gate) * content
        self.write_weights = c["write_gate"] * mixed
        self.write_history.append(self.write_weights)
        keep = 1.0 - np.outer(self.write_weights, c["erase"])
        self.memory = self.memory * keep + np.outer(self.write_weights, c["write"])
        self.link = link(self.link, self.precedence, self.write_weights)
        self.precedence = precedence(self.precedence, self.write_weights)
        self.read_weights = np.stack(
            [
                mode[0] * (self.link.T @ weights)
                + mode[1] * (self.link @ weights)
                + mode[2] * content_weights(self.memory, key, strength)
                for mode, weights, key, strength in zip(
                    c["modes"],
                    self.read_weights,
                    c["read_keys"],
                    c["read_strengths"],
                    strict=True,
                )
            ]
        )
        self.read_words = self.read_weights @ self.memory

    def _clip(self, x):
        return np.clip(x, -self.clip_value, self.clip_value)
