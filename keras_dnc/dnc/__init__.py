"""Graves et al. 2016: the Differentiable Neural Computer (Nature 538, 471-476).

What the Differentiable Neural Computer adds to memory: a usage for every slot, so that
free slots are found and old ones let go, and links that remember the order of writing,
so that what was written in sequence can be read in sequence.

Reading order: `addressing` (usage and links), `access_state` (what a step is asked and
keeps), `access` (one step of reading and writing), `cell` (the whole computer as a
Keras RNN cell), `checkpoint` (weights of deepmind/dnc), `content_access` (the memory
without links) and `bidirectional` (two controllers). `free_list` and `links` hold the
two costly steps of `addressing`, with their gradients written by hand; `sparse_links`
keeps the largest few links of a slot.
"""
