"""Memory-augmented neural networks for Keras 3.

Every cell runs in `keras.layers.RNN` on the TensorFlow, JAX and PyTorch backends.
`import keras_dnc` registers the classes of the package, so that
`keras.models.load_model` can load models that use them. It does not import the data,
the export and the plots: `keras_dnc.tasks`, `keras_dnc.export`, `keras_dnc.inspect` and
`keras_dnc.saved_models` are imported at their first use.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType

from keras_dnc.bidirectional import BiDNC
from keras_dnc.bidirectional import ContextController
from keras_dnc.bptt.memory_rnn import MemoryRNN
from keras_dnc.cells.access import Access
from keras_dnc.cells.access_cell import AccessCell
from keras_dnc.cells.content import CosineWeights
from keras_dnc.cells.controllers import FeedForwardController
from keras_dnc.cells.controllers import FusedLSTMCell
from keras_dnc.cells.controllers import NormalizedLSTMCell
from keras_dnc.cells.dropout import SequenceDropout
from keras_dnc.cells.interface import Interface
from keras_dnc.cells.memory_cell import MemoryCell
from keras_dnc.cells.resize import resize_memory
from keras_dnc.cells.row_access import RowAccess
from keras_dnc.cells.skip_controller import SkipController
from keras_dnc.dnc.access import MemoryAccess
from keras_dnc.dnc.addressing import Freeness
from keras_dnc.dnc.addressing import TemporalLinkage
from keras_dnc.dnc.addressing import TemporalLinkageState
from keras_dnc.dnc.cell import DNCCell
from keras_dnc.dnc.cell import DNCState
from keras_dnc.dnc.checkpoint import load_deepmind_weights
from keras_dnc.dnc.content_access import ContentAccess
from keras_dnc.dnc.sparse_links import SparseLink
from keras_dnc.dnc.sparse_links import SparseTemporalLinkage
from keras_dnc.dnc.state import ContentAccessState
from keras_dnc.dnc.state import MemoryAccessState
from keras_dnc.mann import LRUAccess
from keras_dnc.mann import LRUAccessState
from keras_dnc.mann import LRUControls
from keras_dnc.mann import MANNCell
from keras_dnc.memn2n import LinearStart
from keras_dnc.memn2n import MemN2N
from keras_dnc.ntm.access import NTMAccess
from keras_dnc.ntm.access import NTMAccessState
from keras_dnc.ntm.addressing import HeadControls
from keras_dnc.ntm.addressing import NTMAddressing
from keras_dnc.ntm.cell import NTMCell
from keras_dnc.product_key import ProductKeyMemory
from keras_dnc.product_key import SlotUsage
from keras_dnc.sparse.access import SparseAccess
from keras_dnc.sparse.access import SparseAccessState
from keras_dnc.sparse.cell import SAMCell
from keras_dnc.sparse.cell import SDNCCell
from keras_dnc.sparse.hashing import LSHSearch
from keras_dnc.sparse.linked_access import LinkedAccess
from keras_dnc.sparse.linked_access import LinkedAccessState
from keras_dnc.sparse.links import SparseLinkage
from keras_dnc.sparse.links import SparseLinkageState
from keras_dnc.sparse.search import ExactSearch
from keras_dnc.sparse.search import Search
from keras_dnc.training.actor_critic import ActorCritic
from keras_dnc.training.callbacks import Curriculum
from keras_dnc.training.callbacks import GeneralisationReport
from keras_dnc.training.callbacks import SampleReport
from keras_dnc.training.callbacks import StopAt
from keras_dnc.training.compilation import cache_compiled_programs
from keras_dnc.training.dagger import DAgger
from keras_dnc.training.losses import GroupedCrossentropy
from keras_dnc.training.losses import SequenceCrossentropy
from keras_dnc.training.metrics import BitErrors
from keras_dnc.training.metrics import ExactGroups
from keras_dnc.training.metrics import ExactSequences
from keras_dnc.training.metrics import InstanceAccuracy
from keras_dnc.training.metrics import QuestionError
from keras_dnc.training.optimizers import SparseAdam
from keras_dnc.training.policy_gradient import ActorCriticLoss
from keras_dnc.training.relation_sampling import RelationSampling
from keras_dnc.training.resumable import fit_or_resume
from keras_dnc.training.rollouts import Rollouts
from keras_dnc.training.run_folder import check_settings
from keras_dnc.training.run_folder import read_log
from keras_dnc.training.task_curriculum import TaskCurriculum
from keras_dnc.training.task_curriculum import error_by_task
from keras_dnc.training.task_curriculum import judge_answers

__all__ = [
    "Access",
    "AccessCell",
    "ActorCritic",
    "ActorCriticLoss",
    "BiDNC",
    "BitErrors",
    "ContentAccess",
    "ContentAccessState",
    "ContextController",
    "CosineWeights",
    "Curriculum",
    "DAgger",
    "DNCCell",
    "DNCState",
    "ExactGroups",
    "ExactSearch",
    "ExactSequences",
    "FeedForwardController",
    "Freeness",
    "FusedLSTMCell",
    "GeneralisationReport",
    "GroupedCrossentropy",
    "HeadControls",
    "InstanceAccuracy",
    "Interface",
    "LRUAccess",
    "LRUAccessState",
    "LRUControls",
    "LSHSearch",
    "LinearStart",
    "LinkedAccess",
    "LinkedAccessState",
    "MANNCell",
    "MemN2N",
    "MemoryAccess",
    "MemoryAccessState",
    "MemoryCell",
    "MemoryRNN",
    "NTMAccess",
    "NTMAccessState",
    "NTMAddressing",
    "NTMCell",
    "NormalizedLSTMCell",
    "ProductKeyMemory",
    "QuestionError",
    "RelationSampling",
    "Rollouts",
    "RowAccess",
    "SAMCell",
    "SDNCCell",
    "SampleReport",
    "Search",
    "SequenceCrossentropy",
    "SequenceDropout",
    "SkipController",
    "SlotUsage",
    "SparseAccess",
    "SparseAccessState",
    "SparseAdam",
    "SparseLink",
    "SparseLinkage",
    "SparseLinkageState",
    "SparseTemporalLinkage",
    "StopAt",
    "TaskCurriculum",
    "TemporalLinkage",
    "TemporalLinkageState",
    "cache_compiled_programs",
    "check_settings",
    "error_by_task",
    "fit_or_resume",
    "judge_answers",
    "load_deepmind_weights",
    "read_log",
    "resize_memory",
]

__version__ = "0.1.0"


def lazy_modules(
    package: str,
) -> tuple[Callable[[str], ModuleType], Callable[[], list[str]]]:
    """Return functions of a package that import its modules at their first use.

    Args:
        package: Name of the package, its `__name__`.

    Returns:
        `(__getattr__, __dir__)` of the package.

    Example:
        >>> load, names = lazy_modules("keras_dnc.inspect")
        >>> load("trace").__name__, "plots" in names()
        ('keras_dnc.inspect.trace', True)
    """

    def names() -> set[str]:
        found = pkgutil.iter_modules(sys.modules[package].__path__)
        return {module.name for module in found if not module.name.startswith("_")}

    def load(name: str) -> ModuleType:
        if name not in names():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return load, lambda: sorted({*vars(sys.modules[package]), *names()})


__getattr__, __dir__ = lazy_modules(__name__)
