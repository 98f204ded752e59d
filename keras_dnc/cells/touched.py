"""The rows of a sparse memory that a step touches."""

from typing import NamedTuple

from keras import ops

from keras_dnc.ops.rows import matches
from keras_dnc.typing import Tensor


class Touched(NamedTuple):
    """The rows of memory that one step has written and read.

    Attributes:
        written: `(batch, writes)`, slots that were added to; may repeat.
        erased: `(batch, 1)`, the slot wiped before that, one of `written`.
        read: `(batch, reads)`, slots that were read after the writing; may repeat.
        rows: `(batch, reads, word_size)`, what was read.
    """

    written: Tensor
    erased: Tensor
    read: Tensor
    rows: Tensor


def rows_after(before, touched, additions):
    """Give the rows that a step has read from what they were before its writing.

    Args:
        before: `(batch, reads, word_size)`.
        touched: `Touched`.
        additions: `(batch, writes, word_size)`, what was added at `touched.written`.
    """
    kept = 1.0 - matches(touched.read, touched.erased, before.dtype)
    added = matches(touched.read, touched.written, before.dtype)
    return kept * before + ops.matmul(added, additions)
