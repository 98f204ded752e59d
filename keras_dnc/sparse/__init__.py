"""Rae et al. 2016: sparse reads and writes (arXiv 1610.09027).

What sparse access adds to memory: a step reads the few slots that are most like its
key, and writes to those it has just read or to the one that was accessed least
recently. Its gradient does not grow with the number of slots, nor does anything else
where hashing finds the slots.

Reading order: `least_recent` (which slot was accessed least recently), `search` (which
slots are most like a key), `access` (one step of writing and reading), `links` (the
order of writing, sparse), `linked_access` (a step that may follow links), `cell` (SAM
and SDNC as Keras RNN cells).
"""
