"""Which part of a sequence this process has, where an engine has told its GPUs to share sequences.

xFuser's groups are asked, which raylight and others split by; they are looked at where somebody has loaded them, and never
loaded from here.
"""

import sys

from ...sampling.sequence_split import SequenceSplit

MODULES = ("xfuser.core.distributed", "xfuser.core.distributed.parallel_state")
WITHOUT_GROUPS = (AssertionError, AttributeError, RuntimeError, ValueError)  # what they raise before they are set up


def sequence_split() -> SequenceSplit | None:
    """The rank of this process and how many share a sequence; None where nobody does."""
    for name in MODULES:
        module = sys.modules.get(name)
        if module is None:
            continue
        try:
            world = int(module.get_sequence_parallel_world_size())
            return SequenceSplit(int(module.get_sequence_parallel_rank()), world) if world > 1 else None
        except WITHOUT_GROUPS:
            continue
    return None
