"""End-to-End Memory Networks (Sukhbaatar et al. 2015): reading a story in hops.

What it adds to memory: nothing is written. Every sentence of a story is a slot with two
vectors, an input vector that is matched with the query and an output vector that is
read. A question is answered by several reads (hops), each with a query that contains
the results of the previous ones.

Reading order: `encode_positions` and `sum_words` (the words of a sentence as one
vector), `sentence_ages` (the time index), `MemN2N` (the network), `LinearStart`
(training that begins without the softmax).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.arguments import random_seed
from keras_dnc.arguments import switch
from keras_dnc.cells.layers import layers_of
from keras_dnc.ops.lookup import lookup
from keras_dnc.typing import Shape, Tensor

PADDING = 0  # index of the padding word, which fills up sentences and stories

_MASKED_SCORE = -1e9  # score of a slot without a sentence: its weight is 0
_INITIAL_STDDEV = 0.1  # standard deviation of the initial weights (section 4.2)


def encode_positions(vectors: Tensor, present: Tensor) -> Tensor:
    r"""Sum the word vectors of each sentence, weighted by position (section 4.1).

    $$m = \sum_j l_j \circ v_j, \quad l_{kj} = (1 - j/J) - (k/d)(1 - 2j/J)$$

    with positions $j$ from 1 to the number of words $J$, and features $k$ from 1 to
    $d$. The weights are linear in $k$, so that two sums over words suffice, and the
    array of all weights is never built.

    Args:
        vectors: `(batch, sentences, words, tables, embedding_dim)`.
        present: `(batch, sentences, words)`, 1 at a word, 0 at padding.

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


def sum_words(vectors: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of the word vectors of each sentence.

    Args:
        vectors: `(batch, sentences, words, tables, embedding_dim)`.
        weights: `(batch, sentences, words)`.

    Returns:
        `(batch, sentences, tables, embedding_dim)`.
    """
    return ops.einsum("bsj,bsjtd->bstd", ops.cast(weights, vectors.dtype), vectors)


def sentence_ages(present: Tensor, blanks: Tensor) -> Tensor:
    """Compute the age of each sentence: 0 for the newest, counting back in time.

    Args:
        present: `(batch, sentences)`, int32, 1 at a sentence, 0 at padding.
        blanks: `(batch, sentences)`, int32, 1 where an empty memory follows the
            sentence.

    Returns:
        `(batch, sentences)`, int32, at least 0.
    """
    steps = present + blanks
    from_here = ops.sum(steps, axis=1, keepdims=True) - ops.cumsum(steps, axis=1)
    return from_here + blanks


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemN2N(keras.layers.Layer):
    r"""End-to-End Memory Network, which answers a question about a story.

    A sentence $x_i$ has an input vector $m_i = \sum_j l_j \circ A x_{ij} + T_A(i)$, and
    an output vector $c_i$, computed likewise with $C$ and $T_C$. From the embedded
    question $u = B q$, each hop reads

    $$p_i = \mathrm{softmax}_i(u^\top m_i), \quad o = \sum_i p_i c_i$$

    and computes the next query, $u' = u + o$ (adjacent) or $u' = H u + o$ (layer-wise).
    After the last hop, $W u$ are the logits of the answer, one for every word.

    Weight sharing follows the paper. Adjacent: $A_{k+1} = C_k$, $B = A_1$,
    $W^\top = C_K$. Layer-wise: one $A$ and one $C$ for all hops. $T_A$ and $T_C$ are
    shared as $A$ and $C$ are.

    Word 0 is padding: it adds nothing to its sentence, at any position, and a sentence
    of padding only is never read.

    Departures: An empty memory of the random noise advances time but takes no slot, as
    in the authors' program. Sentences older than `memory_size` share the time vector of
    the oldest age.

    Where the authors' program (facebook/MemNN) differs from their paper, this layer
    follows the paper. In the program, positions are encoded by
    $1 + 4 (k - (d+1)/2)(j - (J+1)/2) / (d J)$ with $J$ the length of the longest
    sentence; slots without a sentence take part in the softmax; and the number of empty
    memories is drawn uniformly, up to a tenth of the sentences.

    Args:
        vocabulary_size: Number of words, including padding. Answers are words.
        embedding_dim: Size of the vectors of a sentence, d. Defaults to 20.
        num_hops: Number of reads, K. Defaults to 3.
        memory_size: Number of ages that have their own time vector. Defaults to 50.
        weight_sharing: How hops share weights, `"adjacent"` or `"layerwise"`. Defaults
            to `"adjacent"`.
        position_encoding: Whether to weight words by their position; else a sentence is
            a bag of words. Defaults to `True`.
        temporal_encoding: Whether to add a vector of its age to each sentence. Defaults
            to `True`.
        time_noise: Probability, in training, of an empty memory after a sentence, which
            regularizes the time vectors. In [0, 1). Defaults to 0.1, as in the paper.
        hop_activation: Keras activation of `u'`, by name or as a function. The larger
            model of the paper has `"relu"`, with `embedding_dim=100` and layer-wise
            weights. Defaults to `None`, for no activation.
        linear_start: Whether to begin training without the softmax over sentences; the
            callback `LinearStart` inserts it. Defaults to `False`.
        seed: Seed of the noise, an integer from 0 to 2^32 - 1. Defaults to `None`, for
            the global seed.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        sentences: `(batch, sentences, words)`, integers in [0, vocabulary_size).
        question: `(batch, words)`, integers in [0, vocabulary_size); `words` may differ
            from that of the sentences.
        training: Whether to apply the noise. Defaults to `None`, for Keras's mode.
        return_read_weights: Whether to return the read weights too. Defaults to
            `False`.

    Returns:
        Logits, `(batch, vocabulary_size)`. With `return_read_weights`, a pair of the
        logits and the read weights, `(batch, num_hops, sentences)`. Rows of the read
        weights sum to 1, with 0 at padding; without the softmax they are unbounded
        scores.

    Raises:
        ValueError: A size is not a positive integer, `weight_sharing` is unknown, a
            switch is not a bool, `time_noise` or `seed` is out of range,
            `hop_activation` is unknown to Keras, or a call argument has another rank or
            does not hold integers.

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
        self.position_encoding = switch("position_encoding", position_encoding)
        self.temporal_encoding = switch("temporal_encoding", temporal_encoding)
        self.time_noise = probability("time_noise", time_noise)
        self.hop_activation = keras.activations.get(hop_activation)
        self.linear_start = switch("linear_start", linear_start)
        self.seed = None if seed is None else random_seed("seed", seed)
        self._noise = keras.random.SeedGenerator(self.seed)

    @property
    def is_linear(self) -> bool:
        """Whether the read weights are computed without the softmax."""
        if not (self.linear_start and self.built):
            return self.linear_start
        return not bool(ops.convert_to_numpy(self.softmax_is_in) > 0)

    def insert_softmax(self) -> None:
        """Compute the read weights with the softmax from now on."""
        if self.linear_start:
            self.softmax_is_in.assign(1.0)

    def build(self, sentences_shape: Shape, question_shape: Shape) -> None:
        """Create the weights, shared between hops as `weight_sharing` says.

        Args:
            sentences_shape: `(batch, sentences, words)`.
            question_shape: `(batch, words)`.
        """
        adjacent = self.weight_sharing == "adjacent"
        tables = self.num_hops + 1 if adjacent else 2
        words, dim = self.vocabulary_size, self.embedding_dim
        self.embeddings = self._add("embeddings", (words, tables, dim))
        if self.temporal_encoding:
            self.times = self._add("times", (self.memory_size, tables, dim))
        if not adjacent:
            self.question_embeddings = self._add("question_embeddings", (words, dim))
            self.answer_embeddings = self._add("answer_embeddings", (words, dim))
            self.hop_kernel = self._add("hop_kernel", (dim, dim), autocast=True)
        if self.linear_start:
            self.softmax_is_in = self.add_weight(
                name="softmax_is_in",
                shape=(),
                initializer="zeros",
                trainable=False,
                autocast=False,
            )

    def _add(
        self, name: str, shape: tuple[int, ...], autocast: bool = False
    ) -> keras.Variable:
        """Create a weight; tables are not autocast: their gradients sum in float32."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=_INITIAL_STDDEV),
            autocast=autocast,
        )

    def call(
        self,
        sentences: Tensor,
        question: Tensor,
        training: bool | None = None,
        return_read_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Read the story hop by hop, and return the logits of the answer."""
        _check_words("sentences", sentences, ("batch", "sentences", "words"))
        _check_words("question", question, ("batch", "words"))
        present = ops.any(sentences != PADDING, axis=-1)
        memory = self._embed_sentences(sentences, present, training)
        query = self._embed_question(question)
        read_weights = []
        for hop in range(self.num_hops):
            matched, read = self._tables_of(hop)
            weights = self._address(memory[:, :, matched], query, present)
            words = ops.einsum("bs,bsd->bd", weights, memory[:, :, read])  # eq. 2
            query = self._next_query(query, words)
            read_weights.append(weights)
        logits = ops.matmul(query, ops.transpose(self._answer_vectors()))  # eq. 3
        if return_read_weights:
            return logits, ops.stack(read_weights, axis=1)
        return logits

    def _tables_of(self, hop: int) -> tuple[int, int]:
        """Return the indices of the input and output tables of a hop, A and C."""
        return (hop, hop + 1) if self.weight_sharing == "adjacent" else (0, 1)

    def _embed_sentences(
        self, sentences: Tensor, present: Tensor, training: bool | None
    ) -> Tensor:
        """Compute the vectors of each sentence, `(batch, sentences, tables, dim)`."""
        memory = self._encode(sentences, self.embeddings)
        if not self.temporal_encoding:
            return memory
        present = ops.cast(present, "int32")
        ages = sentence_ages(present, self._blanks(present, training))
        oldest = self.memory_size - 1
        return memory + self._look_up(self.times, ops.minimum(ages, oldest))

    def _blanks(self, present: Tensor, training: bool | None) -> Tensor:
        """Draw where empty memories follow a sentence, `(batch, sentences)`, int32."""
        if not training or self.time_noise == 0.0:
            return ops.zeros_like(present)
        draws = keras.random.uniform(ops.shape(present), seed=self._noise)
        return present * ops.cast(draws < self.time_noise, "int32")

    def _embed_question(self, question: Tensor) -> Tensor:
        """Compute the first query, `u = B q`, `(batch, dim)`."""
        table = self.embeddings[:, 0]
        if self.weight_sharing == "layerwise":
            table = self.question_embeddings
        encoded = self._encode(ops.expand_dims(question, 1), ops.expand_dims(table, 1))
        return encoded[:, 0, 0]

    def _answer_vectors(self) -> Tensor:
        """Return the rows of W, `(vocabulary_size, dim)`."""
        if self.weight_sharing == "layerwise":
            return ops.cast(self.answer_embeddings, self.compute_dtype)
        return ops.cast(self.embeddings[:, self.num_hops], self.compute_dtype)

    def _encode(self, words: Tensor, tables: Tensor) -> Tensor:
        """Encode sentences with the embeddings `(vocabulary_size, tables, dim)`."""
        vectors = self._look_up(tables, words)
        present = ops.cast(words != PADDING, self._at_least_float32())
        combine = encode_positions if self.position_encoding else sum_words
        return combine(vectors, present)

    def _look_up(self, table: Tensor, indices: Tensor) -> Tensor:
        """Return rows of a table in the compute dtype."""
        rows = lookup(table, ops.cast(indices, "int32"))  # not all take 8 bits
        return ops.cast(rows, self.compute_dtype)

    def _address(self, memory: Tensor, query: Tensor, present: Tensor) -> Tensor:
        """Compute the read weights, `(batch, sentences)`; eq. 1, or its scores."""
        scores = ops.einsum("bsd,bd->bs", memory, query)
        scores = ops.cast(scores, self._at_least_float32())
        weights = ops.softmax(ops.where(present, scores, _MASKED_SCORE), axis=-1)
        if self.linear_start:
            weights = ops.where(self.softmax_is_in > 0, weights, scores)
        # In a story without sentences the softmax is uniform over padding.
        return ops.cast(ops.where(present, weights, 0.0), memory.dtype)

    def _at_least_float32(self) -> str:
        """Return the compute dtype, or float32 in place of half precision."""
        return keras.backend.result_type(self.compute_dtype, "float32")

    def _next_query(self, query: Tensor, words: Tensor) -> Tensor:
        """Compute the query of the next hop (eq. 4; layer-wise: section 2.2)."""
        if self.weight_sharing == "layerwise":
            query = ops.matmul(query, self.hop_kernel)
        return self.hop_activation(query + words)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
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
    """A callback that inserts the softmax into `MemN2N(linear_start=True)` layers.

    Without the softmax the network is easier to train and seldom gets stuck in a local
    minimum. When the monitored loss no longer falls, the callback inserts the softmax,
    and training continues.

    The state of the softmax is saved with the model's weights, so a resumed run
    restores it. The number of epochs without improvement is not saved: set `max_epochs`
    in a run that may be resumed.

    Args:
        patience: Number of epochs without a lower loss before the softmax is inserted.
            Defaults to 2.
        max_epochs: Number of epochs after which the softmax is inserted in any case.
            Defaults to `None`, for no limit.
        monitor: Name of the loss in the logs. Defaults to `"val_loss"`.

    Raises:
        ValueError: `patience` or `max_epochs` is not a positive integer. When training
            begins, if no layer of the model has `linear_start=True`. At the end of an
            epoch, if the logs have no such loss.

    Example:
        >>> layer = MemN2N(vocabulary_size=9, linear_start=True)
        >>> sentences = keras.Input((None, 3), dtype="int32")
        >>> question = keras.Input((2,), dtype="int32")
        >>> model = keras.Model([sentences, question], layer(sentences, question))
        >>> model.compile(loss="sparse_categorical_crossentropy")
        >>> ones = [np.ones(shape, "int32") for shape in ((4, 5, 3), (4, 2), (4,))]
        >>> start = LinearStart(max_epochs=1, monitor="loss")
        >>> history = model.fit(ones[:2], ones[2], callbacks=[start], verbose=0)
        >>> layer.is_linear
        False

    References:
        - Sukhbaatar et al. 2015, End-To-End Memory Networks, section 4.2, "Linear
          start".
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

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Find the layers that start without the softmax.

        Args:
            logs: Not used.

        Raises:
            ValueError: The model has no such layer.
        """
        found = [lay for lay in layers_of(self.model) if _starts_linear(lay)]
        if not found:
            raise ValueError(
                "LinearStart needs a model that holds a `MemN2N` layer with "
                f"`linear_start=True`. Received: a model with none, {self.model.name!r}"
            )
        self._layers = found
        self._best, self._waited = np.inf, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Insert the softmax if the loss has stopped falling.

        Args:
            epoch: Index of the epoch.
            logs: Metrics of the epoch.

        Raises:
            ValueError: The logs have no loss named `monitor`.
        """
        if not any(layer.is_linear for layer in self._layers):
            return
        loss = (logs or {}).get(self.monitor)
        if loss is None:
            raise ValueError(
                "Argument `monitor` must name an entry of the logs. Received: "
                f"monitor={self.monitor!r}, the logs hold {sorted(logs or {})}"
            )
        if loss < self._best:
            self._best, self._waited = loss, 0
        else:  # also if it is NaN
            self._waited += 1
        is_late = self.max_epochs is not None and epoch + 1 >= self.max_epochs
        if self._waited >= self.patience or is_late:
            for layer in self._layers:
                layer.insert_softmax()


def _starts_linear(layer: keras.Layer) -> bool:
    """Return whether a layer starts without the softmax."""
    return isinstance(layer, MemN2N) and layer.linear_start


def _check_words(name: str, words: Tensor, expected: tuple[str, ...]) -> None:
    """Raise a `ValueError` unless `words` holds integers in the expected shape."""
    check_shape(name, words.shape, expected)
    if "int" not in keras.backend.standardize_dtype(words.dtype):
        raise ValueError(
            f"Argument `{name}` must hold integers, the numbers of words. "
            f"Received: {name} of dtype {keras.backend.standardize_dtype(words.dtype)}"
        )
