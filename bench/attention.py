"""Time and memory of training steps, fused attention beside plain: `python -m bench.attention`.

The encoder: width 384, 6 blocks, 6 heads, 8 frames of 224 px, batch 1. The QFormer: 6 layers, width
384, 96 queries on 1,568 visual tokens, batch 4. A step is forward, backward and AdamW, in float32.
Each way runs in a process of its own, the ways in turn, so that another's load on this machine
meets all of them; processor time is told beside wall-clock, as load disturbs it less. Exits 1
where the two forms differ, or where the encoder with fused attention is less than 1.3 times as
fast as with plain attention or needs more than 0.6 of its peak memory.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from bench.plain_attention import PlainAttention
from bench.program import ROOT, spread
from model.config import QFormerConfig, VideoEncoderConfig
from model.qformer import QFormer
from model.video_encoder import VideoEncoder

WANTED_FASTER = 1.3
WANTED_MEMORY = 0.6
CLOSE = 1e-4
"""Largest difference of outputs between the two forms."""
WARM_UP = 2
"""Steps before those that are timed; the first one also makes AdamW's moments."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of both works."""

    width: int = 384
    depth: int = 6
    heads: int = 6
    frames: int = 8
    image_size: int = 224
    queries: int = 96
    visual_tokens: int = 1568
    batch: int = 4
    """Of the QFormer; the encoder's is 1."""


class Work:
    """A model in training mode, and its input.

    Attributes:
        model: Of the way.
        input: Of its call, random.
    """

    def __init__(self, name: str, sizes: Sizes, *, recompute: bool = False) -> None:
        torch.manual_seed(0)
        self.model: VideoEncoder | QFormer
        if name == "encoder":
            self.model = _encoder(sizes, recompute=recompute)
            self.input = torch.randn(1, sizes.frames, 3, sizes.image_size, sizes.image_size)
        else:
            self.model = _qformer(sizes)
            self.input = torch.randn(sizes.batch, sizes.visual_tokens, sizes.width)
        self.model.train()

    def forward(self) -> Tensor:
        """Give the output."""
        if isinstance(self.model, QFormer):
            return self.model.visual_tokens(self.input)
        out: Tensor = self.model(self.input)
        return out


def _encoder(sizes: Sizes, *, recompute: bool) -> VideoEncoder:
    return VideoEncoder(
        VideoEncoderConfig(
            image_size=sizes.image_size,
            width=sizes.width,
            depth=sizes.depth,
            blocks_built=sizes.depth,
            heads=sizes.heads,
            recompute=recompute,
        )
    )


def _qformer(sizes: Sizes) -> QFormer:
    cfg = QFormerConfig(
        num_queries=sizes.queries // 3,
        num_extra_queries=sizes.queries - sizes.queries // 3,
        width=sizes.width,
        layers=sizes.depth,
        heads=sizes.heads,
        ffn_width=4 * sizes.width,
    )
    return QFormer(cfg, sizes.width, extra_queries=True, text_branch=False)


WAYS = {"encoder": ("plain", "fused", "fused, recompute"), "qformer": ("plain", "fused")}
"""The ways of each work; the first one is what the others are compared with."""


@dataclass(frozen=True)
class Measured:
    """What one process found.

    Attributes:
        step_s: Wall-clock of each timed step.
        cpu_s: Processor time of each timed step, over all threads.
        imports_mb: Resident before there was a model.
        peak_mb: The most that ever was resident, imports included.
    """

    step_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    imports_mb: float
    peak_mb: float

    @property
    def own_mb(self) -> float:
        """The peak without the imports."""
        return self.peak_mb - self.imports_mb


def difference(name: str, sizes: Sizes) -> float:
    """The largest difference of outputs between the two forms, without dropout.

    Raises:
        RuntimeError: The model asks for no attention that could be swapped.
    """
    work = Work(name, sizes)
    work.model.eval()
    with torch.no_grad():
        fused = work.forward()
        with PlainAttention() as swapped:
            plain = work.forward()
    if not swapped.calls:
        raise RuntimeError(f"{name}: no attention was swapped; nothing is compared")
    return float((fused - plain).abs().max())


def measure(name: str, way: str, sizes: Sizes, steps: int) -> Measured:
    """Trains in this process; its peak is only meaningful in a process that did nothing else."""
    imports_mb = _status_mb("VmRSS")
    work = Work(name, sizes, recompute="recompute" in way)
    optimizer = torch.optim.AdamW(work.model.parameters(), lr=1e-4, weight_decay=0.02)
    step_s, cpu_s = [], []
    for _ in range(WARM_UP + steps):
        began, began_cpu = time.perf_counter(), time.process_time()
        with PlainAttention() if way == "plain" else nullcontext():
            loss = work.forward().square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step_s.append(time.perf_counter() - began)
        cpu_s.append(time.process_time() - began_cpu)
    timed = tuple(step_s[WARM_UP:]), tuple(cpu_s[WARM_UP:])
    return Measured(*timed, imports_mb, _status_mb("VmHWM"))


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kibibytes) / 1024


def in_child(name: str, way: str, sizes: Sizes, steps: int, threads: int) -> Measured:
    """`measure` in a process of its own."""
    told = json.dumps({"name": name, "way": way, "sizes": asdict(sizes), "steps": steps})
    done = subprocess.run(
        [sys.executable, "-m", "bench.attention", "--threads", str(threads), "--child", told],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = json.loads(done.stdout)
    return Measured(**found)


@dataclass(frozen=True)
class Ratio:
    """A way beside the baseline: medians by medians.

    Attributes:
        faster: Baseline's step by this one's.
        less_cpu: The same of processor time.
        memory: This way's peak by the baseline's, both without imports.
        memory_with_imports: The same with imports.
    """

    faster: float
    less_cpu: float
    memory: float
    memory_with_imports: float

    @classmethod
    def of(cls, baseline: Sequence[Measured], way: Sequence[Measured]) -> "Ratio":
        """Compares all repeats of both."""
        return cls(
            faster=median(_all_s(baseline, "step_s")) / median(_all_s(way, "step_s")),
            less_cpu=median(_all_s(baseline, "cpu_s")) / median(_all_s(way, "cpu_s")),
            memory=_median_mb(way, "own_mb") / _median_mb(baseline, "own_mb"),
            memory_with_imports=_median_mb(way, "peak_mb") / _median_mb(baseline, "peak_mb"),
        )

    def __str__(self) -> str:
        return (
            f"{self.faster:.2f}x as fast ({self.less_cpu:.2f}x by processor time), "
            f"{self.memory:.2f} of the memory ({self.memory_with_imports:.2f} with imports)"
        )


def _all_s(ran: Sequence[Measured], field: str) -> list[float]:
    return [seconds for one in ran for seconds in getattr(one, field)]


def _median_mb(ran: Sequence[Measured], field: str) -> float:
    values: list[float] = [getattr(one, field) for one in ran]
    return median(values)


def compare(name: str, sizes: Sizes, *, repeats: int, steps: int, threads: int) -> dict[str, Ratio]:
    """Measures all ways of a work in turn, prints a line for each and gives their ratios."""
    found: dict[str, list[Measured]] = {way: [] for way in WAYS[name]}
    for _ in range(repeats):
        for way, measured in found.items():
            measured.append(in_child(name, way, sizes, steps, threads))
    baseline = found[WAYS[name][0]]
    ratios = {way: Ratio.of(baseline, measured) for way, measured in found.items()}
    for way, measured in found.items():
        print(
            f"{name:8} {way:16} {spread(_all_s(measured, 'step_s'))}; "
            f"peak {_median_mb(measured, 'peak_mb'):5.0f} MB, "
            f"{_median_mb(measured, 'own_mb'):5.0f} MB without imports; {ratios[way]}",
            flush=True,
        )
    return ratios


def main() -> int:
    """Prints a line a way; 1 where the encoder misses what is wanted."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    if args.child:
        told = json.loads(args.child)
        sizes = Sizes(**told["sizes"])
        print(json.dumps(asdict(measure(told["name"], told["way"], sizes, told["steps"]))))
        return 0
    print(f"{args.threads} threads; load of the machine before: {os.getloadavg()[0]:.2f}")
    reached = True
    for name in args.works:
        apart = difference(name, Sizes())
        print(f"{name}: outputs of the two forms differ by {apart:.1e} (at most {CLOSE:.0e})")
        ratios = compare(
            name, Sizes(), repeats=args.repeats, steps=args.steps, threads=args.threads
        )
        reached &= apart <= CLOSE
        if name == "encoder":
            fused = ratios["fused"]
            reached &= fused.faster >= WANTED_FASTER and fused.memory <= WANTED_MEMORY
    wanted = f"{WANTED_FASTER}x as fast and {WANTED_MEMORY} of the memory, without imports"
    print(f"load after: {os.getloadavg()[0]:.2f}")
    if "encoder" in args.works:
        print(f"wanted of the encoder: {wanted}: {'reached' if reached else 'not reached'}")
    return 0 if reached else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", nargs="+", choices=sorted(WAYS), default=sorted(WAYS))
    parser.add_argument("--repeats", type=int, default=3, help="processes a way")
    parser.add_argument("--steps", type=int, default=5, help="timed steps a process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
