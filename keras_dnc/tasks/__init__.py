"""Data for memory networks: generators and datasets in numpy, no model code.

Reading order: `task` (what every generated task shares), `copy`, `recall`,
`ngram`, `sorting`, `arithmetic`, `omniglot`, `levels` (curricula), `babi`.
"""
