"""A stage for the real Slurm that counts instead of training; all around it is the real thing.

The launcher's own submission, submitit, `jobs.task` with its signals, events and requeue, real
manifests; but no torch, so that an attempt is there in a second.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from jobs.contract.events import Event, read_events
from jobs.contract.manifest import Manifest, describe, newest_valid, write_manifest
from jobs.contract.paths import AttemptKey, RunFolder, StageFolder
from jobs.contract.spec import StageSpec
from jobs.contract.story import AttemptStory, read_story
from jobs.contract.task import StageTask
from jobs.job import Job, StoppedError
from launcher.cluster import SlurmCluster
from launcher.cluster.base import JobRequest
from launcher.pipeline import ClusterSettings
from tests.cluster.slurm_cluster import SlurmCluster as Daemons

ROOT = Path(__file__).parents[2]
STEP_S = 0.05


@dataclass(frozen=True)
class Counting:
    """What each rank calls.

    Attributes:
        task: Whose stage it pretends to run.
        start_s: Seconds before its first step.
        path: PATH inside the job; None: as Slurm gives it.
    """

    task: StageTask
    start_s: float = 0
    path: str | None = None

    def __call__(self) -> None:
        from jobs.task import run_task  # noqa: PLC0415 - as `jobs.contract.task` does

        if self.path is not None:
            os.environ["PATH"] = self.path
        run_task(self.task, self.count)

    def count(self, job: Job) -> None:
        """The stage's program: counts until it is asked to stop, and saves where it is."""
        time.sleep(self.start_s)
        found = newest_valid(job.folder.checkpoints, digests=True)
        step = found[1].step if found else 0
        job.tell("started", resume_step=step, total_steps=10_000, epochs=1)
        job.stop.stay()
        while job.stop.signal_name is None:
            time.sleep(STEP_S)
            step += 1
            job.tell("step", step=step, epoch=0)
        folder = job.folder.checkpoint(step)
        folder.mkdir(parents=True)
        (folder / "state").write_text(str(step))
        files = (describe(folder / "state", "state"),)
        write_manifest(folder, Manifest(step=step, files=files))
        job.tell("checkpoint", step=step, path=str(folder), save_s=0.0, final=False)
        raise StoppedError(step)


@dataclass
class SlurmStage:
    """A stage on the test cluster, one job of one or more attempts.

    Attributes:
        slurm: The cluster's daemons.
        folder: The stage's folder.
        slurm_id: Its job.
    """

    slurm: Daemons
    folder: StageFolder
    slurm_id: str

    def attempt(self, restart: int) -> AttemptKey:
        """The attempt after so many restarts."""
        return AttemptKey(self.slurm_id, restart)

    def story(self, restart: int = 0) -> AttemptStory:
        """What it told in sum."""
        return read_story(self.folder.events_file(self.attempt(restart)))

    def events(self, restart: int = 0) -> list[Event]:
        """What it told."""
        return list(read_events(self.folder.events_file(self.attempt(restart))))

    def kinds_after_signal(self, restart: int = 0) -> list[str]:
        """Kinds of the events from the signal on."""
        kinds = [event.kind for event in self.events(restart)]
        return kinds[kinds.index("signal") :]

    def log(self, restart: int = 0) -> str:
        """What rank 0 wrote."""
        return self.folder.log_file(self.attempt(restart), 0).read_text()

    def restarts(self) -> str:
        """How often Slurm has restarted the job, as it says itself."""
        return self.slurm.run(
            "squeue", "-h", "-t", "all", "-j", self.slurm_id, "-O", "RestartCnt"
        ).strip()

    def wait_for_step(self, steps: int = 1, *, restart: int = 0, limit_s: float = 180) -> None:
        """Waits until an attempt has done so many steps."""

        def done() -> bool:
            kinds = [event.kind for event in self.events(restart)]
            return kinds.count("step") >= steps

        what = f"job {self.slurm_id}, restart {restart}, has done {steps} steps"
        self.slurm.wait(done, what, limit_s)

    def wait_for_end(self, restart: int = 0, limit_s: float = 180) -> None:
        """Waits until an attempt has told its end and what came of the requeue."""
        ends = {"requeued", "not_requeued", "requeue_failed"}

        def told() -> bool:
            return any(event.kind in ends for event in self.events(restart))

        self.slurm.wait(told, f"job {self.slurm_id}, restart {restart}, has ended", limit_s)


@dataclass
class Stages:
    """Hands stages to the test cluster.

    Attributes:
        slurm: The cluster's daemons.
        run: The run they belong to.
        made: All so far.
    """

    slurm: Daemons
    run: RunFolder
    made: list[SlurmStage] = field(default_factory=list)

    def submit(
        self, spec: StageSpec, make: Callable[[StageTask], Any] = Counting, **settings: Any
    ) -> SlurmStage:
        """Hands in the job of a stage, as the launcher does.

        Args:
            spec: What it is to do.
            make: What each rank calls; by default it counts.
            settings: Of the job; one node with one rank and all its GPUs unless they say else.
        """
        # The job cannot import the tests: their class travels with its code.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        folder, token = self.run.stage(spec.stage), secrets.token_hex(6)
        spec.write(folder.spec)
        usual: dict[str, Any] = {
            "gpus_per_node": 8,
            "tasks_per_node": 1,
            "time_limit_s": 600,
            "setup": ("export OMP_NUM_THREADS=1",),
            "python": sys.executable,
        }
        request = JobRequest(
            stage=spec.stage,
            token=token,
            folder=folder,
            task=make(StageTask(self.run.root, spec.stage, 1, token)),
            settings=ClusterSettings(**(usual | settings)),
            code=ROOT,
            resumable=spec.resumable,
        )
        self.made.append(SlurmStage(self.slurm, folder, SlurmCluster().submit(request)))
        return self.made[-1]

    def count(self, stage: str, *, make: Callable[[StageTask], Any] = Counting, **settings: Any):
        """Hands in a stage that counts; see `submit`."""
        spec = StageSpec.model_validate(
            {"run_id": "r", "stage": stage, "model": {"preset": "tiny"}}
        )
        return self.submit(spec, make, **settings)

    def cancel(self) -> None:
        """Ends all jobs that are still there, and waits until the nodes are free."""
        ids = [stage.slurm_id for stage in self.made]

        def are_gone() -> bool:
            live = self.slurm.run("squeue", "-h", "-o", "%i").split()
            left = [slurm_id for slurm_id in ids if slurm_id in live]
            for slurm_id in left:
                self.slurm.run("scancel", slurm_id)
            return not left

        self.slurm.wait(are_gone, "all jobs are gone")
        self.slurm.wait_until_idle()
