"""Pretrained models: list them, load them, and talk to those that read text.

A clone of the repository has the models in its folder `saved_models`, and an installed
package carries a copy of them. `python -m keras_dnc` lists them.

Reading order: `catalogue` (names, folders and files of the models), `reader` (a model
that reads text word by word), `terminal` (a conversation with it), `build_py` (the
copies in wheels and sdists; setuptools alone imports it).
"""

from keras_dnc.saved_models.catalogue import SavedModel
from keras_dnc.saved_models.catalogue import available
from keras_dnc.saved_models.catalogue import folder_of
from keras_dnc.saved_models.catalogue import load
from keras_dnc.saved_models.catalogue import serving_folder_of
from keras_dnc.saved_models.reader import Answer
from keras_dnc.saved_models.reader import Reader
from keras_dnc.saved_models.terminal import talk

__all__ = [
    "Answer",
    "Reader",
    "SavedModel",
    "available",
    "folder_of",
    "load",
    "serving_folder_of",
    "talk",
]
