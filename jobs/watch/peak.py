"""What a device could do at most, for the share of it that a run uses (MFU)."""

import re

_TERA = 10**12
_PEAKS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    # Pattern of the device's name, dense teraflops, precisions; the first that fits counts.
    (r"\bH100 PCIe\b", 756.0, ("bf16", "fp16")),
    (r"\b(H100|H200)\b(?! NVL)", 989.4, ("bf16", "fp16")),
    (r"\bA100\b", 312.0, ("bf16", "fp16")),
    (r"\bL40S\b", 362.0, ("bf16", "fp16")),
    (r"\bA10\b", 125.0, ("bf16", "fp16")),
    (r"\bL4\b", 121.0, ("bf16", "fp16")),
    (r"\bV100-SXM", 125.0, ("fp16",)),
    (r"\bV100-PCIE", 112.0, ("fp16",)),
    (r"\bT4\b", 65.0, ("fp16",)),
)


def peak_flops(device_name: str, precision: str) -> float | None:
    """The most floating-point operations a second that a device can do on its tensor cores.

    Without sparsity: where the maker names the sparse figure only, half of it. The figures are
    NVIDIA's as public tables repeat them (github.com/winston-zhang-orz/gpu-specs, specs.md, for
    all but H100 SXM and H200, 1979 sparse); the data sheets themselves were not read. A device
    whose figure was not found, or of which tables disagree (B200), is left out.

    Args:
        device_name: As `torch.cuda.get_device_name` tells it.
        precision: fp32, bf16 or fp16.

    Returns:
        None where it is not known: another device, a part of one (MIG), or another precision.
    """
    if "MIG" in device_name:
        return None
    for pattern, teraflops, precisions in _PEAKS:
        if re.search(pattern, device_name):
            return teraflops * _TERA if precision in precisions else None
    return None
