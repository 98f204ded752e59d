"""What `gpu.py` measures, the most important first."""

from typing import NamedTuple

import worker
from report_gpu import BFLOAT16
from report_gpu import FLOOR
from report_gpu import OURS
from report_gpu import PEER
from run import SIZES
from sparse import ONE

PRODUCT = "ProductKeyMemory, JAX"
SPARSE = ("SAM, exact, JAX", "SAM, lsh, JAX", "SDNC, exact, JAX")
KEYS = worker.Size(batch=1, time=128, slots=2**20, word=256, reads=4, units=256)
ORDER = (  # size of run.py or number of slots, contenders
    ("B", (OURS, PEER, FLOOR)),
    ("D", (OURS, PEER)),
    (2**20, (*SPARSE, PRODUCT)),
    ("B", (BFLOAT16,)),
    ("A", (OURS, PEER)),
    ("C", (OURS, PEER)),
    (2**10, (*SPARSE, PRODUCT)),
    ("D", (BFLOAT16, FLOOR)),
    (2**16, SPARSE),
    (2**18, (PRODUCT,)),
    ("A", (BFLOAT16, FLOOR)),
    ("C", (BFLOAT16, FLOOR)),
)
QUICK = {  # the same places, smaller; no others
    "A": {"batch": 2, "time": 5, "slots": 8, "units": 16},
    2**10: {"time": 5},
}


class Job(NamedTuple):
    """One measurement: part of the page, label of the size, contender, size."""

    part: str
    label: str
    contender: str
    size: worker.Size

    @property
    def name(self):
        """Name in the results."""
        return f"{self.label}: {self.contender}"

    def described(self):
        """Return what identifies the measurement in the results."""
        return {**self._asdict(), "size": self.size._asdict()}


def jobs(platform, quick):
    """Return all measurements of a platform, in order."""
    return [
        job(place, name, platform, QUICK[place] if quick else {})
        for place, names in ORDER
        for name in names
        if place in QUICK or not quick
    ]


def job(place, contender, platform, changes):
    """Return one measurement, at a size of `run.py` or with a number of slots."""
    if place in SIZES:
        if contender == PEER and platform == "gpu":
            contender = f"{PEER}, CUDA"
        return Job("dense", place, contender, SIZES[place]._replace(**changes))
    part, size = ("product keys", KEYS) if contender == PRODUCT else ("sparse", ONE)
    size = size._replace(**{"slots": place, **changes})
    return Job(part, f"{place:,} slots", contender, size)
