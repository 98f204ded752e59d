"""Data for memory networks: generators and datasets in NumPy, no model code.

Reading order: `task` (the base class of every generated task), `copy`, `recall`,
`ngram`, `sorting`, `arithmetic`, `omniglot`, `graphs`, `levels` (curricula), `shrdlu`
(planning, with environments for reinforcement learning), `babi`.
"""

from keras_dnc import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__)
