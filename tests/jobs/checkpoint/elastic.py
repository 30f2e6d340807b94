"""Trains a small module, saves it in the middle and goes on; or goes on from what others saved.

`python elastic.py TOKEN RANK WORLD_SIZE FOLDER save|load`: rank 0 writes the losses and the
weights of the steps after the save.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from jobs.checkpoint.loading import load
from jobs.checkpoint.progress import Progress
from jobs.checkpoint.saver import Saver, Snapshot
from jobs.checkpoint.state import EngineState
from jobs.checkpoint.weights import weights_to_keep
from jobs.contract.batching import Batching
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import Train
from jobs.data.dataset import Sample, SampleKey
from jobs.data.items import CaptionItem
from jobs.data.loader import Batch
from jobs.distributed import Place, join
from jobs.engine import build_engine, set_lr
from jobs.steps import Stepper
from tests.jobs.paper import paper_job

CASES = [(precision, zero) for precision in ("fp32", "bf16") for zero in (0, 1, 2, 3)]
BATCHING = Batching(global_batch=8, micro_batch=2, full_world=4)
SAVED_AFTER, STEPS = 3, 6
SEED = 5


class Net(nn.Module):
    """Odd sizes, dropout, a frozen layer, and one that every other step leaves out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.frozen = nn.Linear(5, 5).requires_grad_(requires_grad=False)
        self.wide, self.seldom = nn.Linear(5, 7), nn.Linear(7, 7)
        self.head, self.dropout = nn.Linear(7, 3), nn.Dropout(0.5)
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, inputs, seldom):
        seen = self.wide(self.frozen(inputs + self.mean.to(inputs.dtype)))
        if bool(seldom[0]):
            seen = self.seldom(seen)
        return {"loss": self.head(self.dropout(seen)).float().pow(2).mean()}


def micro_batch(step: int, number: int | None, dtype: torch.dtype) -> Batch:
    """What a micro-batch holds; one without a number is for going along."""
    generator = torch.Generator().manual_seed(100 * step + (number or 0))
    arguments = {
        "inputs": torch.randn(2, 5, generator=generator).to(dtype),
        "seldom": torch.tensor([step % 2]),
    }
    item = CaptionItem("text", None, "")
    samples = () if number is None else (Sample(None, item, SampleKey(0, number), "set"),) * 2
    return Batch(samples, number=number, arguments=arguments)


def own(step: int, rank: int, world_size: int, dtype: torch.dtype) -> list[Batch]:
    """A rank's micro-batches."""
    numbers = [rank + turn * world_size for turn in range(BATCHING.rounds(world_size))]
    known = [number if number < BATCHING.micro_batches else None for number in numbers]
    return [micro_batch(step, number, dtype) for number in known]


def recipe_of(precision: str, zero_stage: int) -> Train:
    """A recipe of that kind."""
    return Train.model_validate(
        {
            "entry": "stage3",
            "lr": 0.05,
            "global_batch": BATCHING.global_batch,
            "batch_per_gpu": BATCHING.micro_batch,
            "clip_norm": 0.5,
            "precision": precision,
            "zero_stage": zero_stage,
            "data": [{"annotations": "none.json"}],
        }
    )


class Trial:
    """One engine with all that belongs to it."""

    def __init__(self, folder: Path, rank: int, world_size: int, case: tuple[str, int]) -> None:
        precision, zero_stage = case
        recipe = recipe_of(precision, zero_stage)
        self.rank, self.world_size = rank, world_size
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.engine = build_engine(Net(), recipe, BATCHING, world_size)
        self.stepper = Stepper(self.engine, seed=SEED, clip_norm=recipe.clip_norm)
        self.state = EngineState(self.engine)
        run = RunFolder(folder / f"{precision}-{zero_stage}")
        self.job = paper_job(run, rank=rank, ranks=world_size)

    def steps(self, first: int, last: int) -> list[str]:
        """Makes steps; gives the loss of each, exactly."""
        losses = []
        for step in range(first, last):
            set_lr(self.engine, 0.05 / (1 + step))
            batches = own(step, self.rank, self.world_size, self.dtype)
            outcome = self.stepper.step(batches, step=step, readable=BATCHING.micro_batches)
            losses.append(float(outcome.loss).hex())
        return losses

    def save(self) -> None:
        """Saves in the background, while a step goes on that must not be in it."""
        saver = Saver(self.job, self.state, Checkpointing())
        progress = Progress(step=SAVED_AFTER, batch=SAVED_AFTER)
        saver.begin(Snapshot(progress=progress, parent=None))
        self.after = self.steps(SAVED_AFTER, SAVED_AFTER + 1)
        saved = saver.wait()
        if saved.error or saved.taken_over:
            raise RuntimeError(f"not saved: {saved}")

    def load(self) -> None:
        """Goes back to what was saved."""
        progress = load(self.state, self.job.folder.checkpoint(SAVED_AFTER))
        if progress != Progress(step=SAVED_AFTER, batch=SAVED_AFTER):
            raise RuntimeError(f"not the progress that was saved: {progress}")

    def weights(self) -> dict[str, Any]:
        """All weights, whole."""
        return {name: each.tolist() for name, each in weights_to_keep(self.engine.module).items()}


def run(folder: Path, rank: int, world_size: int, what: str) -> dict[str, Any]:
    """All cases; losses and weights after the steps that come after the save."""
    told = {}
    for case in CASES:
        trial = Trial(folder, rank, world_size, case)
        if what == "save":
            trial.engine.module.mean.fill_(0.25)
            trial.steps(0, SAVED_AFTER)
            trial.save()
            losses = [*trial.after, *trial.steps(SAVED_AFTER + 1, STEPS)]
        else:
            trial.load()
            losses = trial.steps(SAVED_AFTER, STEPS)
        told["-".join(map(str, case))] = {"losses": losses, "weights": trial.weights()}
    return told


def main() -> None:
    """Joins the ranks and goes through the cases."""
    token, rank, world_size, folder, what = sys.argv[1:]
    place = Place(AttemptKey(token, 0), int(rank), int(rank), int(world_size), ("127.0.0.1",))
    join(place, timeout_s=60)
    told = run(Path(folder), int(rank), int(world_size), what)
    dist.barrier()
    if place.rank == 0:
        (Path(folder) / f"{what}-{world_size}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
