"""Steps with torch's compiler and without, and AdamW's three forms: `python -m bench.compile`.

The encoder: width 384, 6 blocks, 6 heads, batch 1, 8 frames of 224 px; a step is its forward and
backward pass, in float32 on a CPU and in bf16 on a GPU. The first compiled step holds the
compilation, with torch's cache of earlier ones empty. AdamW changes 9 million numbers, in the
tensors of a transformer and in one (as ZeRO has them). The ways take turns, so that another's load
meets all of them; on a CPU processor time is what is compared, as load disturbs it less.

Exits 1 where the two ways differ in what they compute, or where fused AdamW, which the trainer
takes, is slower than another form by more than a tenth. The compiler needs g++ (or $CXX) on a
CPU, gcc and Triton on a GPU.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor, nn

from jobs.compiling import hindrance_of
from model.config import VideoEncoderConfig
from model.video_encoder import VideoEncoder

CLOSE = {"cpu": 1e-4, "cuda": 5e-2}
"""Largest difference of outputs between the two ways, as a part of the largest output."""
TOLERATED = 1.1
"""A choice that is slower by no more than this is a draw."""
FORMS: Mapping[str, Mapping[str, bool]] = {
    "fused": {"fused": True},
    "foreach": {"foreach": True},
    "loop": {"foreach": False},
}
TENSORS = {
    "of a transformer": ((384,), (384, 384)) * 60,
    "as one": ((60 * (384 + 384 * 384),),),
}


@dataclass
class Taken:
    """Seconds of each run of one way: by the clock, and of the processor."""

    clock_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, work: Callable[[], object]) -> None:
        """Runs the work once, to its end on a GPU, too."""
        _wait()
        began, began_cpu = time.perf_counter(), time.process_time()
        work()
        _wait()
        self.clock_s.append(time.perf_counter() - began)
        self.cpu_s.append(time.process_time() - began_cpu)

    @property
    def compared_s(self) -> float:
        """What the ways are compared by."""
        return median(self.clock_s if torch.cuda.is_available() else self.cpu_s)

    def __str__(self) -> str:
        return f"{1e3 * median(self.clock_s):8.1f} ms, processor {1e3 * median(self.cpu_s):8.1f} ms"


def main() -> int:
    """Prints the cases; 1 where a choice of the trainer is not the fastest."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    # Else a compilation of an earlier run would be found again and its time not be seen.
    with tempfile.TemporaryDirectory(prefix="bench-compile-") as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        device = "cuda" if torch.cuda.is_available() else "cpu"
        print(f"{device}, {args.threads} threads, torch {torch.__version__}", flush=True)
        encoder_is_right = args.only == "adamw" or compare_encoders(device, args)
        adamw_is_right = args.only == "encoder" or compare_forms(device, args.steps)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.2f}")
    return 0 if encoder_is_right and adamw_is_right else 1


def compare_encoders(device: str, args: argparse.Namespace) -> bool:
    """Whether both ways compute the same."""
    plain, compiled = (encoder_of(args, device) for _ in range(2))
    hindrance = hindrance_of(compiled, 0, has_gpu=device == "cuda")
    if hindrance:
        print(f"encoder: not compared, {hindrance}")
        return device == "cpu"
    compiled.compile_blocks()
    dtype = plain.patch_embed.weight.dtype
    clip = torch.randn(1, args.frames, 3, args.size, args.size, device=device, dtype=dtype)
    first, taken = Taken(), {"plain": Taken(), "compiled": Taken()}
    first.add(lambda: step(compiled, clip))
    step(plain, clip)
    apart = difference(plain, compiled, clip)
    for _ in range(args.steps):
        taken["plain"].add(lambda: step(plain, clip))
        taken["compiled"].add(lambda: step(compiled, clip))
    faster = taken["plain"].compared_s / taken["compiled"].compared_s
    for way, its in taken.items():
        print(f"encoder, {way:9} {its}")
    print(f"encoder, first compiled step {first}")
    print(f"encoder: compiled is {faster:.2f} times as fast; outputs differ by {apart:.1e}")
    gain_s = median(taken["plain"].clock_s) - median(taken["compiled"].clock_s)
    if gain_s > 0:
        print(f"encoder: the compilation is paid back after {first.clock_s[0] / gain_s:.0f} steps")
    return apart <= CLOSE[device]


def encoder_of(args: argparse.Namespace, device: str) -> VideoEncoder:
    """An encoder in training mode; always of the same weights."""
    torch.manual_seed(0)
    cfg = VideoEncoderConfig(
        image_size=args.size, width=384, depth=args.depth, blocks_built=args.depth, heads=6
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    return VideoEncoder(cfg).to(device, dtype).train()


def step(encoder: VideoEncoder, clip: Tensor) -> None:
    """Forward and backward pass."""
    encoder.zero_grad()
    encoder(clip).float().square().mean().backward()


@torch.no_grad()
def difference(plain: VideoEncoder, compiled: VideoEncoder, clip: Tensor) -> float:
    """Largest difference of the outputs, as a part of the largest output."""
    one, other = plain(clip).float(), compiled(clip).float()
    return float((one - other).abs().max() / one.abs().max())


def compare_forms(device: str, steps: int) -> bool:
    """Whether fused AdamW is the fastest form, or as fast as it."""
    is_fastest = True
    for name, shapes in TENSORS.items():
        runs = {form: _adamw(shapes, device, how) for form, how in FORMS.items()}
        taken = {form: Taken() for form in FORMS}
        for run in runs.values():
            run()  # makes the moments
        for _ in range(steps):
            for form, run in runs.items():
                taken[form].add(run)
        fused_s = taken["fused"].compared_s
        for form, its in taken.items():
            print(f"AdamW, {name:16} {form:7} {its}, {its.compared_s / fused_s:.2f} of fused")
        is_fastest &= min(its.compared_s for its in taken.values()) * TOLERATED >= fused_s
    return is_fastest


def _adamw(
    shapes: tuple[tuple[int, ...], ...], device: str, how: Mapping[str, bool]
) -> Callable[[], object]:
    draw = torch.Generator().manual_seed(0)
    parameters = []
    for shape in shapes:
        parameter = nn.Parameter(torch.randn(shape, generator=draw).to(device))
        parameter.grad = torch.randn(shape, generator=draw).to(device)
        parameters.append(parameter)
    return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.02, **how).step


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=["encoder", "adamw"], help="one of the two; default both")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--depth", type=int, default=6, help="blocks of the encoder")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="height and width of a frame")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
