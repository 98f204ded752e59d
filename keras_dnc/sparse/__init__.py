"""Rae et al. 2016: sparse reads and writes (arXiv 1610.09027).

What sparse access adds to memory: a step reads the few slots that are most like its
key, and writes to those it has just read or to the one that was accessed least
recently. Nothing in it, and nothing in its gradient, grows with the number of slots.

Reading order: `accesses` (which slot was accessed least recently), `search` (which
slots are most like a key), `links` (the order of writing, sparse), `access` (one step
of writing and reading), `cell` (SAM and SDNC as Keras RNN cells).
"""
