"""What two or more papers share. Imports keras only.

Reading order: `state` (named state and the flat list `keras.layers.RNN` sees),
`content` (addressing by similarity), `writing` (erase and add), `interface` (the
controls a controller emits), `controllers`, `dropout` (masks made before the loop),
`cell` (a controller beside a memory), `rnn` (the layer that runs a cell) with
`recurrence` (cells as pure functions), `recompute` (back-propagation that stores
little) and `in_place` (back-propagation of a memory of which a step touches a few
`rows`), `resize` (the same weights around more slots), `backend` (loops and gradients
on every backend), `precision`, and `arguments` (how bad input is refused).

Legend of shape names, one for the whole package:

    batch          sequences in a batch
    time           steps of a sequence
    memory_size    N, slots of the memory
    word_size      W, numbers in a slot
    num_reads      R, read heads
    num_writes     write heads
    output_size    numbers in an output
"""
