"""A stage that trains nothing: it counts, saves, tells events and obeys signals, without torch.

`Pretending` puts it in the place of the real task on a real cluster. It keeps to the contract of
`jobs.contract` and to the stop protocol, so that the launcher sees what a training would show.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FrameType

import cloudpickle

from jobs.contract.events import EventWriter
from jobs.contract.manifest import (
    Manifest,
    describe,
    newest_valid,
    write_manifest,
)
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.task import StageTask
from launcher.cluster.base import Cluster, JobRequest, NoAnswer, Rows
from launcher.cluster.notice import Notice


@dataclass(frozen=True)
class Pretend:
    """Counts to `steps`.

    Attributes:
        task: Whose place it takes.
        steps: To do in all.
        step_s: Seconds each.
        fail_at: Fails at this step.
        die_at: Vanishes without a word at this step.
        deaf: Passes signals over.
        lasts: The first attempt goes on until it is told to stop; `steps` are left for the next.
    """

    task: StageTask
    steps: int = 3
    step_s: float = 0.02
    fail_at: int | None = None
    die_at: int | None = None
    deaf: bool = False
    lasts: bool = False

    def __call__(self) -> None:
        if os.environ.get("SLURM_PROCID", "0") != "0":
            return
        asked: list[int] = []

        def note(number: int, _: FrameType | None) -> None:
            if not self.deaf:
                asked.append(number)

        signal.signal(signal.SIGTERM, note)
        signal.signal(signal.SIGUSR2, note)
        folder = RunFolder(self.task.run_folder).stage(self.task.stage)
        restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        key = AttemptKey(os.environ.get("SLURM_JOB_ID", self.task.token), restart)
        events = EventWriter(folder.events_file(key))
        found = newest_valid(folder.checkpoints, digests=True)
        step = found[1].step if found else 0
        steps = self.steps if not self.lasts else step + self.steps if found else 10**6
        events.write("begin", hosts=["here"], world_size=1)
        events.write("started", resume_step=step, total_steps=steps)
        while step < steps and not asked:
            time.sleep(self.step_s)
            step += 1
            events.write("step", step=step, epoch=0, loss=1 / step, step_s=self.step_s)
            if step == self.fail_at:
                events.write("exit", outcome="failed", code=1, step=step, message="too hot")
                os._exit(1)
            if step == self.die_at:
                os._exit(9)
        final = step == steps
        checkpoint = folder.checkpoint(step, final=final)
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / "weights").write_text(f"{step}")
        manifest = Manifest(
            step=step,
            files=(describe(checkpoint / "weights", "weights"),),
            weights="weights",
            final=final,
        )
        write_manifest(checkpoint, manifest)
        events.write("checkpoint", step=step, final=final)
        if final and self.task.stage == "third":
            events.write("metric", name="Moving", value=0.75, correct=3, total=4, majority=0.25)
        events.write("exit", outcome="done" if final else "stopped", code=0, step=step, message="")
        os._exit(0 if final else 75)


@dataclass(frozen=True)
class Pretending:
    """A real cluster whose jobs pretend.

    Attributes:
        cluster: The real one.
        steps: See `Pretend`, also for the next ones.
        step_s: Seconds each.
        fail: Stage that fails at its first step.
        die: Stage that vanishes at its first step.
        deaf: See `Pretend`.
        lasts: Stage whose first attempt goes on until it is told to stop.
    """

    cluster: Cluster
    steps: int = 3
    step_s: float = 0.02
    fail: str = ""
    die: str = ""
    deaf: bool = False
    lasts: str = ""

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def holds_dependencies(self) -> bool:
        return self.cluster.holds_dependencies

    def submit(self, request: JobRequest) -> str:
        return self.cluster.submit(replace(request, task=self.pretend(request)))

    def pretend(self, request: JobRequest) -> Pretend:
        # The job cannot import the tests: their class travels with its code.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        assert isinstance(request.task, StageTask)
        return Pretend(
            request.task,
            self.steps,
            self.step_s,
            fail_at=1 if request.stage == self.fail else None,
            die_at=1 if request.stage == self.die else None,
            deaf=self.deaf,
            lasts=request.stage == self.lasts,
        )

    def script(self, request: JobRequest) -> str:
        return self.cluster.script(request)

    def live(self) -> Rows:
        return self.cluster.live()

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:
        return self.cluster.history(slurm_ids, since=since)

    def stop(self, slurm_id: str) -> None:
        self.cluster.stop(slurm_id)

    def cancel(self, slurm_id: str) -> None:
        self.cluster.cancel(slurm_id)

    def dump(self, slurm_id: str) -> None:
        self.cluster.dump(slurm_id)

    def hold(self, slurm_id: str) -> None:
        self.cluster.hold(slurm_id)

    def release(self, slurm_id: str) -> None:
        self.cluster.release(slurm_id)

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        self.cluster.rewire(slurm_id, parents)

    def num_nodes(self, partition: str | None) -> int | None:
        return self.cluster.num_nodes(partition)

    def notice(self, partition: str | None) -> Notice | NoAnswer:
        return self.cluster.notice(partition)

    def starts_at(self, slurm_id: str) -> float | None:
        return self.cluster.starts_at(slurm_id)

    def would_start(self, request: JobRequest) -> float | NoAnswer | None:
        return self.cluster.would_start(request)
