"""Back-propagation through time that saves few states.

Reading order:

- `memory_rnn`: `MemoryRNN`, the layer that runs a cell over a sequence.
- `pure_cell`: RNN cells as pure functions of lists of tensors.
- `scan`: the loops over time, forward and backward.
- `policy`: the interface of the policies that they follow.
- `checkpointing`: the policies of dense memories and of other cells, which save large
  states once per chunk of steps and recompute the others.
- `touched_rows`: the policy of sparse memories, which saves the rows that a step reads.
- `residual_specs`: residuals and deferred products of a step, from a symbolic run.
- `deferred`: weight gradients that are computed after a chunk, for all its steps.
"""
