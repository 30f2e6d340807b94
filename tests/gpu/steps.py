"""Trains stages 2 and 3 of the tiny preset, on a GPU or without; saves in the middle and resumes.

`python steps.py TOKEN RANK WORLD_SIZE FOLDER`: each rank writes what it found. The device is the
GPU where one is shown.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from jobs.bad_clips import News, gather
from jobs.checkpoint.loading import load
from jobs.checkpoint.progress import Progress
from jobs.checkpoint.saver import Saver, Snapshot
from jobs.checkpoint.state import EngineState
from jobs.checkpoint.weights import weights_to_keep
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import Train
from jobs.distributed import Place, join
from jobs.engine import build_engine, language_model_dtype, set_lr
from jobs.steps import StepOutcome, Stepper
from model.ranks import host_group
from model.video_chat import VideoChat
from tests.gpu.batches import ROWS, TINY, micro_batch
from tests.jobs.paper import paper_job

SAVED_AFTER, STEPS = 2, 4
LARGEST_POWER = 32
"""Of the first loss scale in fp16: its gradients overflow."""


def recipe_of(stage: int, precision: str, world_size: int) -> Train:
    """A recipe without a learning rate's schedule."""
    return Train.model_validate(
        {
            "entry": f"stage{stage}",
            "lr": 1e-3,
            "global_batch": ROWS * world_size,
            "batch_per_gpu": ROWS,
            "clip_norm": 1.0,
            "precision": precision,
            "loss_scaling": {"initial_power": LARGEST_POWER},
            "data": [{"annotations": "none.json"}],
        }
    )


class Trial:
    """One engine with what belongs to it."""

    def __init__(self, stage: int, precision: str, place: Place) -> None:
        self.stage, self.place = stage, place
        recipe = recipe_of(stage, precision, place.world_size)
        torch.manual_seed(0)
        module = VideoChat(TINY, stage=stage, dtype=language_model_dtype(precision))
        batching = recipe.batching(place.world_size)
        self.engine = build_engine(module, recipe, batching, place.world_size)
        set_lr(self.engine, recipe.lr)
        self.stepper = Stepper(self.engine, seed=recipe.seed, clip_norm=recipe.clip_norm)
        self.state = EngineState(self.engine)

    def step(self, step: int) -> StepOutcome:
        """Makes a step."""
        ranks = self.place.world_size
        held = micro_batch(ranks * step + self.place.rank, instruction=self.stage == 3)
        return self.stepper.step([held], step=step, readable=ranks)

    def facts(self) -> dict[str, Any]:
        """What the engine is made of after a step."""
        inner = self.engine.optimizer.optimizer
        moments = next(iter(inner.state.values()))
        weight = next(self.engine.module.video_encoder.parameters())
        return {
            "device": weight.device.type,
            "dtype": str(weight.dtype),
            "fused": all(group["fused"] for group in inner.param_groups),
            "moments": {name: value.device.type for name, value in moments.items()},
        }

    def digest(self) -> str:
        """Of all weights that are saved at the end."""
        found = hashlib.sha256()
        for name, weight in sorted(weights_to_keep(self.engine.module).items()):
            found.update(
                name.encode() + weight.cpu().contiguous().view(torch.uint8).numpy().tobytes()
            )
        return found.hexdigest()


def saved_and_resumed(stage: int, place: Place, folder: Path) -> dict[str, Any]:
    """Losses and weights of a run straight on, and of one that resumes from its middle."""
    job = paper_job(RunFolder(folder / str(stage)), rank=place.rank, ranks=place.world_size)
    straight = Trial(stage, "bf16", place)
    early = [straight.step(step).loss for step in range(SAVED_AFTER)]
    saver = Saver(job, straight.state, Checkpointing())
    saver.begin(Snapshot(progress=Progress(step=SAVED_AFTER), parent=None))
    late = [straight.step(step).loss for step in range(SAVED_AFTER, STEPS)]
    saved = saver.wait()
    told = {"facts": straight.facts(), "error": saved.error, "early": early}
    told["straight"] = [late, straight.digest()]

    resumed = Trial(stage, "bf16", place)
    load(resumed.state, saved.path)
    late = [resumed.step(step).loss for step in range(SAVED_AFTER, STEPS)]
    return told | {"resumed": [late, resumed.digest()]}


def overflow(place: Place) -> list[dict[str, Any]]:
    """Steps in fp16 whose loss scale is too large at first."""
    trial = Trial(3, "fp16", place)
    found = []
    for step in range(LARGEST_POWER):
        before = trial.digest()
        outcome = trial.step(step)
        changed = trial.digest() != before
        found.append({"why": outcome.why, "scale": outcome.loss_scale, "changed": changed})
        if changed:
            break
    return found


def ranks_meet(place: Place) -> dict[str, Any]:
    """How the ranks reach each other, on the device and on the host."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    own = torch.tensor([place.rank + 1.0], device=device)
    dist.all_reduce(own)
    host = host_group()
    news = gather(News(seen={f"of rank {place.rank}": 1}))
    return {
        "backend": dist.get_backend(),
        "sum": float(own),
        "host": dist.get_backend(host),
        "news": [list(each.seen) for each in news],
    }


def main() -> None:
    """Joins the ranks, trains and writes what was found."""
    token, rank, world_size, folder = *sys.argv[1:4], Path(sys.argv[4])
    place = Place(AttemptKey(token, 0), int(rank), int(rank), int(world_size), ("127.0.0.1",))
    join(place, timeout_s=120)
    told = {"meet": ranks_meet(place)}
    told |= {f"stage{stage}": saved_and_resumed(stage, place, folder) for stage in (2, 3)}
    if torch.cuda.is_available():
        told["fp16"] = overflow(place)
    (folder / f"{rank}.json").write_text(json.dumps(told))
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
