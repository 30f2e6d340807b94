"""Ranks with a state of a given size, which they save in one way or another."""

import os
import shutil
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.saver import Saver, Snapshot
from jobs.checkpoint.state import EngineState
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import StageSpec, Train
from jobs.contract.task import StageTask
from jobs.distributed import Place, join
from jobs.engine import build_engine, set_lr
from jobs.job import Job
from jobs.stop import StopFlag


class Ranks:
    """One rank of them.

    Args:
        folder: Where they save.
        token: The same on all ranks of one run.
        rank: This one.
        world_size: How many there are.
    """

    def __init__(self, folder: Path, token: str, rank: int, world_size: int) -> None:
        self.folder, self.rank = folder, rank
        place = Place(AttemptKey(token, 0), rank, rank, world_size, ("127.0.0.1",))
        join(place, timeout_s=600)
        run = RunFolder(folder)
        spec = StageSpec.model_validate({"run_id": "r", "stage": "s", "model": {"preset": "tiny"}})
        self.job = Job(StageTask(run.root, "s", 1, token), spec, run, place, StopFlag(), None)
        self._step = 0

    def build(self, weights: int, layers: int, rows: int) -> None:
        """Makes a model of so many weights and one step, so that there are moments to save."""
        width = round((weights / layers) ** 0.5)
        recipe = Train.model_validate(
            {
                "entry": "stage2",
                "lr": 1e-3,
                "global_batch": dist.get_world_size(),
                "data": [{"annotations": "none.json"}],
            }
        )
        module = _Layers(layers, width)
        world_size = dist.get_world_size()
        self.engine = build_engine(module, recipe, recipe.batching(world_size), world_size)
        set_lr(self.engine, 1e-3)
        self._rows = torch.randn(rows, width)
        self.step()
        self.state = EngineState(self.engine)
        self._saver = Saver(self.job, self.state, Checkpointing(keep=1))
        own = sum(piece.tensor.nbytes for piece in self.state.own_pieces())
        total = torch.tensor(own)
        dist.all_reduce(total)
        self.size = int(total)

    def slowest(self, seconds: float) -> float:
        """The longest of all ranks."""
        found = torch.tensor(seconds)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return float(found)

    def held(self) -> float:
        """Seconds until training may go on."""
        dist.barrier()
        began = time.perf_counter()
        self._begin()
        taken = time.perf_counter() - began
        self._wait()
        return taken

    def whole(self) -> float:
        """Seconds until all is on the disk."""
        dist.barrier()
        began = time.perf_counter()
        self._begin()
        self._wait()
        return time.perf_counter() - began

    def deepspeed(self) -> float:
        """Seconds of DeepSpeed's own save, with its files put on the disk."""
        folder = self.folder / "deepspeed"
        dist.barrier()
        began = time.perf_counter()
        self.engine.save_checkpoint(str(folder), tag="x", save_latest=False)
        for path in sorted((folder / "x").iterdir())[self.rank :: dist.get_world_size()]:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        taken = time.perf_counter() - began
        dist.barrier()
        if self.rank == 0:
            shutil.rmtree(folder)
        return taken

    def step(self) -> float:
        """Seconds of an optimizer step."""
        dist.barrier()
        began = time.perf_counter()
        self.engine.backward(self.engine(self._rows)["loss"])
        self.engine.step()
        return time.perf_counter() - began

    def step_while_writing(self) -> float:
        """Seconds of one while a save is on its way to the disk."""
        self._begin()
        taken = self.step()
        self._wait()
        return taken

    def _begin(self) -> None:
        self._step += 1
        self._saver.begin(Snapshot(progress=Progress(step=self._step), parent=None))

    def _wait(self) -> None:
        saved = self._saver.wait()
        if saved.error:
            raise OSError(saved.error)


class _Layers(nn.Module):
    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.layers(rows).pow(2).mean()}
