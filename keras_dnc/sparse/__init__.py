"""Rae et al. 2016: sparse reads and writes (arXiv 1610.09027).

Sparse access makes large memories affordable: a step reads the few slots most similar
to its keys, and writes to the slots read in the previous step or to the slot accessed
least recently. The cost of its gradient does not depend on the number of slots; with
hashing (`hashing.LSHSearch`), neither does the cost of the step.

    write weights  w_t^W = alpha_t (gamma_t w_{t-1}^R + (1 - gamma_t) 1_LRA)  (eq. 5)
    memory         M_t = M_{t-1} without the row of LRA, + w_t^W v_t^T
    read weights   w_t^R = softmax over the K largest of beta_t cos(k_t, M_t)
    read words     r_t = sum_i w_t^R(i) M_t(i)                                (eq. 1)

with LRA the slot accessed least recently.

Reading order: `least_recent` (the slot accessed least recently), `search` and `hashing`
(the slots most similar to a key), `access` (one step of writing and reading), `links`
(sparse links in the order of writing), `linked_access` (a step that may follow links),
`cell` (SAM and SDNC as Keras RNN cells).
"""
