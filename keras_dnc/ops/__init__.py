"""Tensor functions in which the papers are written.

A function with a hand-written gradient stands next to a plain reference that returns
the same values and leaves the gradient to the backend. Tests compare both.

Reading order:

- `similarity`: cosine similarity of keys and rows of memory, and strengths.
- `writing`: erase and add.
- `free_list`: the product over the free list that allocates slots.
- `links`: temporal links between slots.
- `rows`: rows of large tables, which sparse memories gather and set.
- `lookup`: rows of a weight, with a dense or a sparse gradient.
- `linear`: products of rows and kernels, whose weight gradients can be deferred.
- `residuals`: values of a step that back-propagation keeps and reuses.
"""
