"""Trains a module of two layers with `Stepper` on scripted micro-batches, one process a rank.

`python tiny_training.py TOKEN RANK WORLD_SIZE RESULTS`: rank 0 writes what became of each step.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler
from torch import nn

from jobs.checkpoint.weights import weights_to_keep
from jobs.contract.paths import AttemptKey
from jobs.contract.spec import Train
from jobs.data.dataset import BadClip, Sample, SampleKey
from jobs.data.items import CaptionItem
from jobs.data.loader import Batch
from jobs.distributed import Place, join
from jobs.engine import build_engine, deepspeed_config
from jobs.steps import Stepper

RANKS = 2
CASES = [(precision, zero) for precision in ("fp32", "bf16") for zero in (0, 1, 2, 3)]
GROWTH_WINDOW = 3
OVERFLOWS = [True, True, *[False] * 5, True, *[False] * 8]
"""Which steps of a story overflow in fp16."""
SCRIPT = [
    # One row a step; in it one row a rank; in it the rank's micro-batches.
    [["video", "video"], ["video", "video"]],
    [["video", "video"], ["lost", "video"]],
    [["video", "steep"], ["video", "video"]],
    [["text", "text"], ["text", "text"]],
    [["unreadable", "video"], ["video", "video"]],
    [["unreadable", "unreadable"], ["video", "video"]],
    [["video", "unreadable"], ["unreadable", "video"]],
    [["unreadable", "unreadable"], ["unreadable", "unreadable"]],
    [["video", "huge"], ["video", "video"]],
    [["text", "text"], ["text", "text"]],
    [["video", "video"], ["video", "video"]],
]


class Tiny(nn.Module):
    """A layer that only videos go through, and one for all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, text, fault, video=None):
        seen = text if video is None else text + self.encoder(video)
        out = self.head(seen)
        loss = out.float().pow(2).mean()
        if bool((fault == 1).any()):  # the loss is lost, its gradient is not
            loss = loss + float("nan")
        if bool((fault == 2).any()):  # and the other way round
            loss = loss + (out.float().sum() * 0).pow(2).sqrt()
        if bool((fault == 3).any()):
            loss = loss * float("inf")
        return {"loss": loss}


def batch_of(kind: str, number: int) -> Batch:
    """A micro-batch of two samples; each draws its numbers from its index."""
    keys = [SampleKey(0, 2 * number), SampleKey(0, 2 * number + 1)]
    if kind == "unreadable":
        return Batch((), tuple(BadClip("set", "a.mp4", "OSError", "no film", key) for key in keys))
    item = CaptionItem("text" if kind == "text" else "video", "a.mp4", kind)
    return Batch(
        tuple(
            Sample(None if kind == "text" else numbers(key, 1).view(1, 3, 1, 1), item, key, "set")
            for key in keys
        )
    )


def numbers(key: SampleKey, stream: int) -> torch.Tensor:
    """Three numbers of a sample."""
    return torch.randn(3, generator=torch.Generator().manual_seed(2 * key.index + stream))


def collate(batch: Batch, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The arguments of `Tiny`."""
    faults = {"lost": 1, "steep": 2, "huge": 3}
    texts = [nn.functional.pad(numbers(each.key, 0), (0, 1)) for each in batch.samples]
    found = {
        "text": torch.stack(texts).to(dtype),
        "fault": torch.tensor([faults.get(each.item.caption, 0) for each in batch.samples]),
    }
    videos = batch.stacked()
    if videos is not None:
        found["video"] = videos.flatten(1).to(dtype)
    return found


def loaded(batch: Batch, dtype: torch.dtype) -> Batch:
    """The micro-batch as a loader hands it over: with two black clips where all are unreadable."""
    item = CaptionItem("video", "a.mp4", "blank")
    blanks = tuple(Sample(torch.zeros(1, 3, 1, 1), item, bad.key, "set") for bad in batch.bad)
    seen = batch if batch.samples else Batch(blanks)
    return replace(batch, arguments=collate(seen, dtype))


def micro_batches(step: int, rank: int) -> list[Batch]:
    """What a rank holds in a step of the script."""
    kinds = SCRIPT[step][rank]
    return [batch_of(kind, 100 * step + 10 * rank + place) for place, kind in enumerate(kinds, 1)]


def recipe_of(precision: str, zero_stage: int) -> Train:
    """A recipe whose gradients are clipped in some steps."""
    return Train.model_validate(
        {
            "entry": "stage3",
            "lr": 0.05,
            "global_batch": 4 * RANKS,
            "batch_per_gpu": 2,
            "clip_norm": 0.5,
            "precision": precision,
            "zero_stage": zero_stage,
            "loss_scaling": {"window_steps": GROWTH_WINDOW},
            "data": [{"annotations": "none.json"}],
        }
    )


def run_case(precision: str, zero_stage: int) -> list[dict]:
    """The script with one precision and ZeRO stage."""
    recipe = recipe_of(precision, zero_stage)
    engine = build_engine(Tiny(), recipe, recipe.batching(RANKS), RANKS)
    for group in engine.optimizer.param_groups:
        group["lr"] = recipe.lr
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    stepper = Stepper(engine, clip_norm=recipe.clip_norm)
    told = []
    for step in range(len(SCRIPT)):
        held = micro_batches(step, dist.get_rank())
        readable = sum(kind != "unreadable" for row in SCRIPT[step] for kind in row)
        batches = [loaded(batch, dtype) for batch in held]
        outcome = stepper.step(batches, step=step, readable=readable)
        weights = weights_to_keep(engine.module)
        told.append(
            {
                "why": outcome.why,
                "loss": outcome.loss,
                "losses": outcome.losses,
                "grad_norm": outcome.grad_norm,
                "weights": {name: value.tolist() for name, value in weights.items()},
            }
        )
    return told


def loss_scales() -> list[float]:
    """DeepSpeed's loss scale after each step of `OVERFLOWS`, as our configuration sets it."""
    recipe = recipe_of("fp16", 1)
    told = deepspeed_config(recipe, recipe.batching(RANKS), RANKS)["fp16"]
    scaler = DynamicLossScaler(
        init_scale=2.0 ** told["initial_scale_power"],
        scale_window=told["loss_scale_window"],
        min_scale=told["min_loss_scale"],
        delayed_shift=told["hysteresis"],
        consecutive_hysteresis=False,
    )
    scales = []
    for overflows in OVERFLOWS:
        scaler.update_scale(overflows)
        scales.append(scaler.cur_scale)
    return scales


def main() -> None:
    """Joins the ranks and goes through the cases."""
    token, rank, results = sys.argv[1], int(sys.argv[2]), Path(sys.argv[4])
    place = Place(AttemptKey(token, 0), rank, rank, RANKS, ("127.0.0.1",))
    join(place, timeout_s=60)
    told = {f"{precision}-{zero}": run_case(precision, zero) for precision, zero in CASES}
    told["scales"] = loss_scales()
    (results / f"{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
