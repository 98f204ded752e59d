"""Parts of memory cells that all papers share.

Reading order:

- `memory_cell`: named state, and the flat list that `keras.layers.RNN` carries.
- `access_cell`: a controller with an external memory, as one RNN cell.
- `access`: one step of a dense memory, in parts.
- `row_access`: one step of a sparse memory, which reads and writes a few rows.
- `interface`: the dense layer that emits the controls of a memory.
- `content`: weights over slots from the similarity of keys and rows.
- `controllers`: the networks that drive a memory.
- `dropout`: dropout masks that are created before the loop over time.
- `precision`: float32 for memories under half-precision policies.
- `resize`: a trained model with a memory of another size.
- `layers`: all layers inside a model.

Legend of shape names in the whole package:

    batch          sequences in a batch
    time           steps of a sequence
    memory_size    N, slots of the memory
    word_size      W, numbers in a slot
    num_reads      R, read heads
    num_writes     write heads
    output_size    numbers in an output
"""
