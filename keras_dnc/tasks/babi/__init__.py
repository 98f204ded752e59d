"""The bAbI question-answering tasks (Weston et al. 2015), as sequences or as questions.

Reading order: `source` (the official files), `babi_dataset_builder` (a TensorFlow
dataset, imported only where it is used), `portable` (one file that needs no TensorFlow,
written by `prepare`), `stories` (loading), `encoding` (a story as one sequence of
integers), `questions` (a question and the sentences before it), `batches` (batches of
similar length), `mixture` (all tasks in equal shares, each at its own lesson),
`renaming` (stories with other names), `tf_data` (stories encoded in a `tf.data`
pipeline), `results` (errors as papers report them).
"""

from keras_dnc.tasks.babi.batches import QuestionBatches
from keras_dnc.tasks.babi.batches import StoryBatches
from keras_dnc.tasks.babi.encoding import UNKNOWN
from keras_dnc.tasks.babi.encoding import EncodedStory
from keras_dnc.tasks.babi.encoding import Vocabulary
from keras_dnc.tasks.babi.encoding import encode_story
from keras_dnc.tasks.babi.encoding import first_questions
from keras_dnc.tasks.babi.encoding import tokenize
from keras_dnc.tasks.babi.mixture import Lesson
from keras_dnc.tasks.babi.mixture import StoryMixture
from keras_dnc.tasks.babi.mixture import hold_out
from keras_dnc.tasks.babi.questions import EncodedQuestion
from keras_dnc.tasks.babi.questions import encode_questions
from keras_dnc.tasks.babi.questions import question_vocabulary
from keras_dnc.tasks.babi.renaming import ENTITIES
from keras_dnc.tasks.babi.renaming import Renaming
from keras_dnc.tasks.babi.results import error_table
from keras_dnc.tasks.babi.source import TASK_NAMES
from keras_dnc.tasks.babi.source import Line
from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.babi.stories import load_stories
from keras_dnc.tasks.babi.tf_data import story_encoder

__all__ = [
    "ENTITIES",
    "TASK_NAMES",
    "UNKNOWN",
    "EncodedQuestion",
    "EncodedStory",
    "Lesson",
    "Line",
    "QuestionBatches",
    "Renaming",
    "Story",
    "StoryBatches",
    "StoryMixture",
    "Vocabulary",
    "encode_questions",
    "encode_story",
    "error_table",
    "first_questions",
    "hold_out",
    "load_stories",
    "question_vocabulary",
    "story_encoder",
    "tokenize",
]
