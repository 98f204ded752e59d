"""The DNC in float64 NumPy, one sequence, one write head, written from the paper.

Graves et al. 2016, Methods; with options, Csordas and Schmidhuber 2019, sections 3.1 to
3.3, and Franke et al. 2018, sections 3.1 and 3.2. Only the guards of deepmind/dnc are
added: usage kept above 1e-6 before the free list is sorted, by freeness in float32, and
1e-6 in norms and in the cosine. Nothing here is shared with the package.
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


def layer_norm(x, gain, shift):
    """Mean 0 and variance 1, then gain and shift; 1e-5 beside the variance."""
    return gain * (x - np.mean(x)) / np.sqrt(np.var(x) + 1e-5) + shift


def content_weights(memory, key, strength, mask=1.0):
    """C(M, k, beta, m)[i] = softmax_i(strength cos(k * m, M[i] * m))."""

    def norm(v):
        return np.sqrt(np.sum(v * v) + GUARD)

    memory, key = memory * mask, key * mask
    cosines = [k @ key / (norm(key) * norm(k) + GUARD) for k in memory]
    return softmax(strength * np.array(cosines))


def retention(read_weights, free_gates):
    """psi = prod_i (1 - f^i w^{r,i})."""
    return np.prod(1.0 - free_gates[:, None] * read_weights, axis=0)


def usage(usage, write_weights, psi):
    """u = (u + w - u w) psi."""
    return (usage + write_weights - usage * write_weights) * psi


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


def sharpen(weights, sharpness):
    """S(d, s) = ((d + eps) / max(d + eps))^s / sum."""
    guarded = weights + GUARD
    powers = (guarded / np.max(guarded)) ** sharpness
    return powers / np.sum(powers)


def normalized_lstm(weights, x, hidden, carry):
    """All gates layer-normalised, and the carry where it is shown (Ba et al. 2016)."""
    gates = x @ weights["kernel"] + hidden @ weights["recurrent_kernel"]
    gain = np.reshape(weights["gate_gain"], -1)
    i, f, candidate, o = np.split(layer_norm(gates, gain, weights["bias"]), 4)
    carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(candidate)
    shown = layer_norm(carry, weights["carry_gain"], weights["carry_shift"])
    return sigmoid(o) * np.tanh(shown), carry


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
            dict from a control's name to `(kernel, bias)`; `output`, `(kernel, bias)`;
            normalised, `gate_gain`, `carry_gain`, `carry_shift` and `interface_norm`,
            a pair of gain and shift, too.
        sizes: Dict of memory_size, word_size, num_reads.
        strength: `softplus` or `oneplus`.
        clip_value: Bound on controller output, controller state and output.
        frozen_writes: List of write weights that usage takes as constants, or `None`.
        options: Dict of DNCCell's `mask_floor`, `deallocate`, `temporal_links`. Masks
            and sharpness are there where the interface has them.
    """

    def __init__(
        self,
        weights,
        sizes,
        strength,
        clip_value=20.0,
        frozen_writes=None,
        **options,
    ):
        self.weights = weights
        self.options = {"mask_floor": 0.0, "deallocate": False, **options}
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
        seen = np.concatenate([x, self.read_words.ravel()])
        self.hidden, self.carry = self._control(seen, self.hidden, self.carry)
        self.hidden, self.carry = self._clip(self.hidden), self._clip(self.carry)
        self._access(time, self._controls(self.hidden))
        kernel, bias = self.weights["output"]
        features = np.concatenate([self.hidden, self.read_words.ravel()])
        return self._clip(features @ kernel + bias)

    def _control(self, seen, hidden, carry):
        w = self.weights
        if "gate_gain" in w:
            return normalized_lstm(w, seen, hidden, carry)
        return lstm(w["kernel"], w["recurrent_kernel"], w["bias"], seen, hidden, carry)

    def _raw_controls(self, nu):
        raw = {n: nu @ k + b for n, (k, b) in self.weights["interface"].items()}
        if "interface_norm" not in self.weights:
            return raw
        joint = np.concatenate(list(raw.values()))
        joint = layer_norm(joint, *self.weights["interface_norm"])
        ends = np.cumsum([len(values) for values in raw.values()])[:-1]
        return dict(zip(raw, np.split(joint, ends), strict=True))

    def _controls(self, nu):
        raw = self._raw_controls(nu)
        reads, word = self.shape
        floor = self.options["mask_floor"]

        def masks(name, shape):
            if name not in raw:
                return np.ones(shape)
            return floor + (1.0 - floor) * sigmoid(raw[name]).reshape(shape)

        modes = raw.get("read_mode", np.zeros(3 * reads)).reshape(reads, 3)
        sharpness = raw.get("link_sharpness")
        return {
            "read_keys": raw["read_keys"].reshape(reads, word),
            "read_strengths": self.strength(raw["read_strengths"]),
            "read_masks": masks("read_masks", (reads, word)),
            "write_key": raw["write_keys"],
            "write_strength": self.strength(raw["write_strengths"])[0],
            "write_mask": masks("write_masks", (word,)),
            "erase": sigmoid(raw["erase_vectors"]),
            "write": raw["write_vectors"],
            "free_gates": sigmoid(raw["free_gate"]),
            "allocation_gate": sigmoid(raw["allocation_gate"])[0],
            "write_gate": sigmoid(raw["write_gate"])[0],
            "modes": [softmax(m) for m in modes],
            "sharpness": None
            if sharpness is None
            else oneplus(sharpness).reshape(reads, 2),
        }

    def _access(self, time, c):
        written = self.write_weights
        if self.frozen_writes is not None and time > 0:
            written = self.frozen_writes[time - 1]
        psi = retention(self.read_weights, c["free_gates"])
        self.usage = usage(self.usage, written, psi)
        content = content_weights(
            self.memory, c["write_key"], c["write_strength"], c["write_mask"]
        )
        gate = c["allocation_gate"]
        mixed = gate * allocation(self.usage) + (1.0 - gate) * content
        self.write_weights = c["write_gate"] * mixed
        self.write_history.append(self.write_weights)
        if self.options["deallocate"]:
            self.memory = self.memory * psi[:, None]
        keep = 1.0 - np.outer(self.write_weights, c["erase"])
        self.memory = self.memory * keep + np.outer(self.write_weights, c["write"])
        self.link = link(self.link, self.precedence, self.write_weights)
        self.precedence = precedence(self.precedence, self.write_weights)
        heads = range(len(self.read_weights))
        self.read_weights = np.stack([self._read(c, head) for head in heads])
        self.read_words = self.read_weights @ self.memory

    def _read(self, c, head):
        """Mix what is found backward, forward and by content."""
        content = content_weights(
            self.memory,
            c["read_keys"][head],
            c["read_strengths"][head],
            c["read_masks"][head],
        )
        if not self.options.get("temporal_links", True):
            return content
        weights = self.read_weights[head]
        along = [self.link.T @ weights, self.link @ weights]
        if c["sharpness"] is not None:
            along = map(sharpen, along, c["sharpness"][head])
        backward, forward = along
        mode = c["modes"][head]
        return mode[0] * backward + mode[1] * forward + mode[2] * content

    def _clip(self, x):
        return np.clip(x, -self.clip_value, self.clip_value)
