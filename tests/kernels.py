"""Which of torch's kernels for CPUs the tests use: everywhere those that the vectors came from.

The original's numbers were recorded on a processor with AVX2. With AVX-512 torch and oneDNN sum in
another order, and a few gradients of long sums differ by more than the tolerance of the checks.
"""

import os
from pathlib import Path

RECORDED_WITH = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def use_recorded_kernels() -> None:
    """Sets it for this process and those that it starts; call it before torch is first used."""
    if " avx512f " in Path("/proc/cpuinfo").read_text():  # else there is nothing to leave out
        os.environ |= RECORDED_WITH
