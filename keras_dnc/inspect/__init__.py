"""Recording and visualisation of a memory: `trace` records it, `plots` draws it.

`keras_dnc.inspect.trace` is a module. Import its function by
`from keras_dnc.inspect.trace import trace`, and every other one from its module, too.
"""

from keras_dnc import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__)
