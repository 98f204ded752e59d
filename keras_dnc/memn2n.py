"""End-to-End Memory Networks (Sukhbaatar et al. 2015): reading a story in hops.

What it adds to memory: nothing is written. Every sentence of a story is a slot, kept as
two vectors, one to be found by and one to be read; a question is answered by reading
several times, each time with what was read before.

Reading order: `encode_positions` (words to a vector; `sum_words` without their places),
`sentence_ages` (the time index), `MemN2N` (the network), `LinearStart` (training
without the softmax first).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.cells.layers import layers_of
from keras_dnc.ops.lookup import lookup

PADDING = 0  # the word that says nothing, and fills up sentences and stories

_NOWHERE = -1e9  # the score of a slot that holds no sentence: its weight is 0
_SCALE = 0.1  # standard deviation of the first weights (section 4.2)


def encode_positions(vectors, present):
    r"""Sum the vectors of a sentence's words, weighted by place (section 4.1).

    $$m = \sum_j l_j \circ v_j, \quad l_{kj} = (1 - j/J) - (k/d)(1 - 2j/J)$$

    with places $j$ from 1 to the number of words $J$. The weight is linear in $k$, so
    that two sums over words do, and no array of all weights is made.

    Args:
        vectors: `(batch, sentences, words, tables, embedding_dim)`.
        present: `(batch, sentences, words)`, 1 where a word is, 0 where padding.

    Returns:
        `(batch, sentences, tables, embedding_dim)`; 0 for a sentence without words.
    """
    count = ops.maximum(ops.sum(present, axis=-1, keepdims=True), 1.0)
    place = ops.cumsum(present, axis=-1) / count
    features = vectors.shape[-1]
    feature = ops.cast(np.arange(1, features + 1) / features, vectors.dtype)
    constant = sum_words(vectors, present * (1.0 - place))
    slope = sum_words(vectors, present * (1.0 - 2.0 * place))
    return constant - feature * slope


def sum_words(vectors, weights):
    """Sum the vectors of a sentence's words, `(batch, sentences, tables, ...)`."""
    return ops.einsum("bsj,bsjtd->bstd", ops.cast(weights, vectors.dtype), vectors)


def sentence_ages(present, blanks):
    """Count back from the question: 0 for the newest sentence.

    Args:
        present: `(batch, sentences)`, int32, 1 where a sentence is, 0 where padding.
        blanks: `(batch, sentences)`, int32, 1 where an empty memory stands after the
            sentence.

    Returns:
        `(batch, sentences)`, int32, at least 0.
    """
    steps = present + blanks
    from_here = ops.sum(steps, axis=1, keepdims=True) - ops.cumsum(steps, axis=1)
    return from_here + blanks


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemN2N(keras.layers.Layer):
    r"""End-to-End Memory Network: a question about a story, read in hops.

    A sentence $x_i$ becomes $m_i = \sum_j l_j \circ A x_{ij} + T_A(i)$, to be found by,
    and $c_i$, likewise with $C$ and $T_C$, to be read. From $u = B q$, each hop reads

    $$p_i = \mathrm{softmax}_i(u^\top m_i), \quad o = \sum_i p_i c_i$$

    and goes on with $u' = u + o$ (adjacent) or $u' = H u + o$ (layer-wise). Then
    $W u$ scores every word as the answer.

    Weights are shared as the paper has it. Adjacent: $A_{k+1} = C_k$, $B = A_1$,
    $W^\top = C_K$. Layer-wise: one $A$ and one $C$ for all hops. $T_A$ and $T_C$
    follow $A$ and $C$.

    Word 0 is padding: it adds nothing to its sentence, wherever it stands, and a
    sentence of padding alone is never read.

    Departures: $J$ is the number of words that the sentence has, as in the paper's
    text; the authors' program takes the longest sentence's. An empty memory of the
    random noise moves time on and holds no slot, as in that program. Sentences older
    than `memory_size` share the oldest one's time.

    Args:
        vocabulary_size: Words that there are, padding among them; answers are words.
        embedding_dim: Size of a sentence's vectors, d.
        num_hops: How often the memory is read.
        memory_size: Ages that have a time vector of their own.
        weight_sharing: `"adjacent"` or `"layerwise"`, between hops.
        position_encoding: Whether a word counts by its place; else words are a bag.
        temporal_encoding: Whether a sentence's age is added to it.
        time_noise: In training, how likely an empty memory stands after a sentence,
            so that ages do not stand still. 0.1 in the paper.
        hop_activation: Keras activation of `u'`, by name or as a function; `"relu"`,
            with `embedding_dim=100` and layer-wise weights, is the paper's larger
            model; `None` for none.
        linear_start: Whether to begin without the softmax between question and memory;
            `LinearStart` puts it in.
        seed: Seed of the noise, an integer, or `None` for the global seed.
        **kwargs: `name` and `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        sentences: `(batch, sentences, words)`, integers.
        question: `(batch, words)`, integers; the number of words is its own.
        training: Whether the noise is on.
        return_read_weights: Whether to give the weights of all hops beside.

    Returns:
        Logits, `(batch, vocabulary_size)`; where asked for, with read weights,
        `(batch, num_hops, sentences)`, rows sum to 1 over the sentences that are
        there (before the softmax is put in they are scores of any size).

    Raises:
        ValueError: A size that is no positive integer, an unknown `weight_sharing`,
            `time_noise` outside [0, 1), call arguments of wrong rank or no integers.

    Example:
        >>> import numpy as np
        >>> story = np.array([[[2, 3, 4], [5, 3, 6], [0, 0, 0]]])
        >>> layer = MemN2N(vocabulary_size=9)
        >>> logits, weights = layer(story, np.array([[7, 2]]), return_read_weights=True)
        >>> tuple(logits.shape), tuple(weights.shape), float(weights[0, 0, 2])
        ((1, 9), (1, 3, 3), 0.0)

    References:
        - Sukhbaatar et al. 2015, End-To-End Memory Networks, sections 2 and 4.1,
          eq. 1-4; hop_activation: appendix, table 3.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 20,
        num_hops: int = 3,
        memory_size: int = 50,
        weight_sharing: str = "adjacent",
        position_encoding: bool = True,
        temporal_encoding: bool = True,
        time_noise: float = 0.1,
        hop_activation: Any = None,
        linear_start: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = positive_integer("vocabulary_size", vocabulary_size)
        self.embedding_dim = positive_integer("embedding_dim", embedding_dim)
        self.num_hops = positive_integer("num_hops", num_hops)
        self.memory_size = positive_integer("memory_size", memory_size)
        check_choice("weight_sharing", weight_sharing, {"adjacent", "layerwise"})
        self.weight_sharing = weight_sharing
        self.position_encoding = bool(position_encoding)
        self.temporal_encoding = bool(temporal_encoding)
        self.time_noise = probability("time_noise", time_noise)
        self.hop_activation = keras.activations.get(hop_activation)
        self.linear_start = bool(linear_start)
        self.seed = seed
        self._noise = keras.random.SeedGenerator(seed)

    @property
    def is_linear(self):
        """Whether the softmax is still left out."""
        if not (self.linear_start and self.built):
            return self.linear_start
        return not bool(ops.convert_to_numpy(self.softmax_is_in) > 0)

    def insert_softmax(self):
        """End the linear start."""
        if self.linear_start:
            self.softmax_is_in.assign(1.0)

    def build(self, sentences_shape, question_shape):
        """Create the embeddings, shared as `weight_sharing` says."""
        adjacent = self.weight_sharing == "adjacent"
        tables = self.num_hops + 1 if adjacent else 2
        word = (self.vocabulary_size, self.embedding_dim)
        self.embeddings = self._add("embeddings", (word[0], tables, word[1]))
        if self.temporal_encoding:
            self.times = self._add("times", (self.memory_size, tables, word[1]))
        if not adjacent:
            self.question_embeddings = self._add("question_embeddings", word)
            self.answer_embeddings = self._add("answer_embeddings", word)
            kernel = (word[1], word[1])
            self.hop_kernel = self._add("hop_kernel", kernel, autocast=True)
        if self.linear_start:
            self.softmax_is_in = self.add_weight(
                name="softmax_is_in",
                shape=(),
                initializer="zeros",
                trainable=False,
                autocast=False,
            )

    def _add(self, name, shape, autocast=False):
        """Create a weight; a table's rows are cast, so that gradients add up whole."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=_SCALE),
            autocast=autocast,
        )

    def call(self, sentences, question, training=None, return_read_weights=False):
        """Read the story hop by hop, then score the answers."""
        _check_words("sentences", sentences, ("batch", "sentences", "words"))
        _check_words("question", question, ("batch", "words"))
        present = ops.any(sentences != PADDING, axis=-1)
        memory = self._remember(sentences, present, training)
        state = self._ask(question)
        read_weights = []
        for hop in range(self.num_hops):
            found_by, read = self._tables_of(hop)
            weights = self._address(memory[:, :, found_by], state, present)
            words = ops.einsum("bs,bsd->bd", weights, memory[:, :, read])  # eq. 2
            state = self._next_state(state, words)
            read_weights.append(weights)
        logits = ops.matmul(state, ops.transpose(self._answers()))  # eq. 3
        if return_read_weights:
            return logits, ops.stack(read_weights, axis=1)
        return logits

    def _tables_of(self, hop):
        """Which embeddings a sentence is found by, and read with."""
        return (hop, hop + 1) if self.weight_sharing == "adjacent" else (0, 1)

    def _remember(self, sentences, present, training):
        """Give every sentence's vectors, `(batch, sentences, tables, dim)`."""
        memory = self._encode(sentences, self.embeddings)
        if not self.temporal_encoding:
            return memory
        present = ops.cast(present, "int32")
        ages = sentence_ages(present, self._blanks(present, training))
        oldest = self.memory_size - 1
        return memory + self._rows(self.times, ops.minimum(ages, oldest))

    def _blanks(self, present, training):
        """Draw the empty memories, `(batch, sentences)`, int32."""
        if not training or self.time_noise == 0.0:
            return ops.zeros_like(present)
        draws = keras.random.uniform(ops.shape(present), seed=self._noise)
        return present * ops.cast(draws < self.time_noise, "int32")

    def _ask(self, question):
        """Give the first state, `u = B q`."""
        table = self.embeddings[:, 0]
        if self.weight_sharing == "layerwise":
            table = self.question_embeddings
        encoded = self._encode(ops.expand_dims(question, 1), ops.expand_dims(table, 1))
        return encoded[:, 0, 0]

    def _answers(self):
        """Give each answer's vector, `(vocabulary_size, dim)`: the rows of W."""
        if self.weight_sharing == "layerwise":
            return ops.cast(self.answer_embeddings, self.compute_dtype)
        return ops.cast(self.embeddings[:, self.num_hops], self.compute_dtype)

    def _encode(self, words, tables):
        """Give sentences' vectors from the embeddings `(words, tables, dim)`."""
        vectors = self._rows(tables, words)
        present = ops.cast(words != PADDING, "float32")
        combine = encode_positions if self.position_encoding else sum_words
        return combine(vectors, present)

    def _rows(self, table, numbers):
        rows = lookup(table, numbers)
        return ops.cast(rows, self.compute_dtype)

    def _address(self, memory, state, present):
        """Weigh the sentences, `(batch, sentences)`; eq. 1, or without its softmax."""
        scores = ops.cast(ops.einsum("bsd,bd->bs", memory, state), "float32")
        weights = ops.softmax(ops.where(present, scores, _NOWHERE), axis=-1)
        if self.linear_start:
            weights = ops.where(self.softmax_is_in > 0, weights, scores)
        # Where no sentence is there at all, the softmax is spread over padding.
        return ops.cast(ops.where(present, weights, 0.0), memory.dtype)

    def _next_state(self, state, words):
        """Give what the next hop asks with (eq. 4, or section 2.2's layer-wise)."""
        if self.weight_sharing == "layerwise":
            state = ops.matmul(state, self.hop_kernel)
        return self.hop_activation(state + words)

    def get_config(self):
        """Give the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "num_hops": self.num_hops,
            "memory_size": self.memory_size,
            "weight_sharing": self.weight_sharing,
            "position_encoding": self.position_encoding,
            "temporal_encoding": self.temporal_encoding,
            "time_noise": self.time_noise,
            "hop_activation": keras.activations.serialize(self.hop_activation),
            "linear_start": self.linear_start,
            "seed": self.seed,
        }


class LinearStart(keras.callbacks.Callback):
    """Put the softmax into every `MemN2N(linear_start=True)` once linear training ends.

    Without the softmax the network is easier to train and seldom gets stuck; when the
    monitored loss no longer falls, the softmax goes in and training goes on (Sukhbaatar
    et al. 2015, section 4.2). Whether it is in is kept with the model's weights: a run
    that is started again knows. It does not know how long it has waited: it waits anew,
    so that `max_epochs` is worth setting.

    Args:
        patience: Epochs without a lower loss before the softmax goes in.
        max_epochs: Epochs after which it goes in all the same; `None` for no limit.
        monitor: Name of the loss in the logs.

    Raises:
        ValueError: `patience` or `max_epochs` is no positive integer. When training
            begins: no layer of the model starts linearly. After an epoch: there is no
            such entry in the logs.

    Example:
        ```python
        model.fit(train, validation_data=valid, callbacks=[keras_dnc.LinearStart()])
        ```
    """

    def __init__(
        self,
        patience: int = 2,
        max_epochs: int | None = None,
        monitor: str = "val_loss",
    ) -> None:
        super().__init__()
        self.patience = positive_integer("patience", patience)
        if max_epochs is not None:
            max_epochs = positive_integer("max_epochs", max_epochs)
        self.max_epochs = max_epochs
        self.monitor = monitor

    def on_train_begin(self, logs=None):
        """Find the layers."""
        found = [lay for lay in layers_of(self.model) if _starts_linear(lay)]
        if not found:
            raise ValueError(
                "LinearStart needs a model that holds a `MemN2N` layer with "
                f"`linear_start=True`. Received: a model with none, {self.model.name!r}"
            )
        self._layers = found
        self._best, self._waited = np.inf, 0

    def on_epoch_end(self, epoch, logs=None):
        """Put the softmax in when the loss has stopped falling."""
        if not any(layer.is_linear for layer in self._layers):
            return
        loss = (logs or {}).get(self.monitor)
        if loss is None:
            raise ValueError(
                "Argument `monitor` must name an entry of the logs. Received: "
                f"monitor={self.monitor!r}, the logs hold {sorted(logs or {})}"
            )
        self._waited = 0 if loss < self._best else self._waited + 1
        self._best = min(loss, self._best)
        is_late = self.max_epochs is not None and epoch + 1 >= self.max_epochs
        if self._waited >= self.patience or is_late:
            for layer in self._layers:
                layer.insert_softmax()


def _starts_linear(layer):
    return isinstance(layer, MemN2N) and layer.linear_start


def _check_words(name, words, expected):
    check_shape(name, words.shape, expected)
    if "int" not in keras.backend.standardize_dtype(words.dtype):
        raise ValueError(
            f"Argument `{name}` must hold integers, the numbers of words. "
            f"Received: {name} of dtype {keras.backend.standardize_dtype(words.dtype)}"
        )
