"""Makes steps on two ranks of which the second one is slow, one process a rank.

`python -m tests.jobs.lagging FOLDER RANK`: it is slow in its forward pass, from the middle on in
waiting for its data. Rank 0's events lie in the run of FOLDER.
"""

import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from jobs.checkpoint.progress import Progress
from jobs.contract.paths import RunFolder
from jobs.contract.spec import Train
from jobs.feed import StepBatches
from jobs.reporter import Reporter
from jobs.steps import StepOutcome
from tests.jobs.paper import paper_job
from tests.ranks import leave

EVERY = 4
STEPS = 2 + 2 * EVERY
"""The first step is not compared, and times are told with the step after."""
PACE_S, SLOW_S = 0.05, 0.2
SLOW_IN = ("forward", "data")


class Sleepy(nn.Module):
    """A layer that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.forward_s = nn.Linear(2, 1), PACE_S

    def forward(self, seen):
        time.sleep(self.forward_s)
        return self.layer(seen).sum()


def main() -> None:
    """Goes through the steps as the trainer does."""
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    job = paper_job(RunFolder(folder), rank=rank, ranks=2, told=rank == 0)
    module = Sleepy()
    told = {"straggler_every_steps": EVERY, "log_every_s": 1e-6, "data": [{"annotations": "-"}]}
    recipe = Train.model_validate(told | {"entry": "stage3", "lr": 1, "global_batch": 2})
    reporter = Reporter(job, recipe, module)
    reporter.started(Progress(), STEPS, 1)
    for step in range(1, STEPS + 1):
        slow_in = SLOW_IN[step > 1 + EVERY] if rank else ""
        module.forward_s = SLOW_S if slow_in == "forward" else PACE_S
        batches = StepBatches((), waited_s=SLOW_S if slow_in == "data" else 0.0)
        agreed = job.stop.agree(*reporter.counts(batches))
        module(torch.ones(2)).backward()
        dist.all_reduce(module.layer.weight.grad)  # here the fast wait for the slow
        reporter.step(
            Progress(step=step),
            StepOutcome((), 1.0),
            lr=1.0,
            step_s=SLOW_S,
            batches=batches,
            counts=agreed.counts,
        )
    reporter.finished()
    dist.barrier()
    leave()


if __name__ == "__main__":
    main()
