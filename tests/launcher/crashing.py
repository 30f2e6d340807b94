"""Launchers that are killed by SIGKILL at a chosen moment, each in a process of its own."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.engine import ledger_url, open_engine
from db.ledger import Ledger
from db.schema import StageRun, Submission
from launcher.acting import acting
from launcher.cluster.base import Cluster
from launcher.errors import LauncherError
from launcher.pipeline import Pipeline, load_pipeline
from launcher.reconcile.run_pass import Passing
from launcher.submit import create_run, prepare, submit_jobs

ACTS = ("submit", "cancel", "hold", "release", "rewire", "stop", "live", "history")
What = Literal["submit", "pass"]


MOMENTS = (
    *("before write", "before commit", "after commit"),
    *("before live", "after live", "before rewire", "after rewire"),
    *("before submit", "after submit") * 3,  # many passes submit nothing
)


@dataclass
class Fuse:
    """Kills this process at the n-th of its moments of one kind.

    Attributes:
        moment: One of `MOMENTS`; empty: never.
        left: How many to go.
        told: Descriptor to say so to before the end.
    """

    moment: str = ""
    left: int = 1
    told: int = -1

    def light(self, moment: str) -> None:
        """Something that a kill may come before."""
        self.left -= moment == self.moment
        if self.moment and self.left == 0:
            os.write(self.told, moment.encode())
            os.kill(os.getpid(), signal.SIGKILL)


class FusedLedger(Ledger):
    """A ledger that lights a fuse before each write, before its commit, and after it."""

    fuse = Fuse()

    @contextmanager
    def write(self) -> Iterator[Session]:
        self.fuse.light("before write")
        with super().write() as session:
            yield session
            self.fuse.light("before commit")
        self.fuse.light("after commit")


class FusedCluster:
    """A cluster that lights a fuse before and after each question and act."""

    def __init__(self, cluster: Cluster, fuse: Fuse) -> None:
        self._cluster, self._fuse = cluster, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        return self._fused(name, found) if name in ACTS else found

    def _fused(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def lit(*args: Any, **options: Any) -> Any:
            self._fuse.light(f"before {name}")
            answer = act(*args, **options)
            self._fuse.light(f"after {name}")
            return answer

        return lit


@dataclass
class Crashing:
    """Submits and passes on one ledger, each in a child that may be killed.

    Attributes:
        pipeline: What is submitted.
        cluster: Where to; what it knows must outlive a process.
        clock: The launcher's.
        crashes: Children that were killed, by the moment.
        said: What children complained of.
    """

    pipeline: Pipeline
    cluster: Cluster
    clock: Callable[[], float] = time.time
    crashes: "Counter[str]" = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        # Holds no connection between transactions: the children can have it.
        self.engine = open_engine(ledger_url(self.pipeline.runs, {}), create=True)

    def warm_up(self, between: Callable[[], None]) -> None:
        """A whole run in this process, unharmed: the children inherit what is imported by it.

        Args:
            between: Lets time pass between two passes.
        """
        self._run("submit", Fuse())
        while not self.done():
            between()
            self._run("pass", Fuse())

    def run(self, what: What, fuse: Fuse | None = None, *, after_s: float | None = None) -> None:
        """A submit or a pass in a child, killed by a fuse or after a time."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.close(reading)
            self._run_and_leave(what, replace(fuse or Fuse(), told=writing))
        os.close(writing)
        if after_s is not None:
            time.sleep(after_s)
            os.kill(pid, signal.SIGKILL)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        _outlast(pid)
        if os.WIFSIGNALED(status):
            self.crashes[said or "any moment"] += 1
        elif said:
            self.said.append(said)

    def crash(self, what: What, chance: random.Random, *, within_s: float) -> None:
        """The same, killed at a random moment of a random kind, or just after a random time."""
        if chance.random() < 0.1:
            self.run(what, after_s=chance.uniform(0.0, within_s))
        else:
            self.run(what, Fuse(chance.choice(MOMENTS), chance.choice((1, 1, 2, 3, 5))))

    def _run_and_leave(self, what: What, fuse: Fuse) -> None:
        try:
            self._run(what, fuse)
        except BaseException as error:  # noqa: BLE001 - a child must not go on as its parent
            os.write(fuse.told, f"{what}: {type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)

    def _run(self, what: What, fuse: Fuse) -> None:
        ledger = FusedLedger(self.engine)
        ledger.fuse = fuse
        cluster = cast("Cluster", FusedCluster(self.cluster, fuse))
        if what == "pass":
            report = Passing(
                ledger, lambda _: cluster, load_pipeline, digest_bytes=1e9, clock=self.clock
            ).run()
            if report.errors:
                raise LauncherError("; ".join(done.error for done in report.errors))
            return
        prepared = prepare(self.pipeline, cluster)
        with acting(ledger, self.clock) as lease:
            submit_jobs(prepared, create_run(prepared, cluster, lease), cluster, lease)

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.engine)

    def states(self) -> list[str]:
        """States of all stage runs."""
        with self.ledger.read() as session:
            return [str(state) for state in session.scalars(select(StageRun.state)).all()]

    def done(self) -> bool:
        """Whether all runs are done."""
        return set(self.states()) <= {"done", "reused"}


@dataclass(frozen=True)
class Faults:
    """What a crash must never lead to.

    Attributes:
        duplicates: Submissions with two jobs.
        orphans: Jobs without a row.
        strangers: Rows with a job that is not theirs.
    """

    duplicates: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


def _outlast(group: int) -> None:
    """Waits for what a killed launcher had started: an sbatch may still send its job.

    The launcher waits longer than sbatch is given; a clock that is put ahead must not cut that off.
    """
    while any(_runs_in(stat, group) for stat in Path("/proc").glob("[0-9]*/stat")):
        time.sleep(0.01)


def _runs_in(stat: Path, group: int) -> bool:
    """Whether a process belongs to a group and has not ended (some machines leave zombies)."""
    try:
        state, _, its_group, *_ = stat.read_text().rpartition(") ")[2].split()
    except OSError:
        return False
    return int(its_group) == group and state not in "ZX"


def faults_of(ledger: Ledger, jobs: Sequence[tuple[str, str]]) -> Faults:
    """Compares all jobs, Slurm id and name, with the ledger."""
    with ledger.read() as session:
        rows = {row.token: row.slurm_id for row in session.scalars(select(Submission)).all()}
    tokens = [name.rpartition(".")[2] for _, name in jobs]
    return Faults(
        duplicates=tuple(sorted({token for token in tokens if tokens.count(token) > 1})),
        orphans=tuple(name for _, name in jobs if name.rpartition(".")[2] not in rows),
        strangers=tuple(
            f"{slurm_id}: {rows[token]}"
            for (slurm_id, _), token in zip(jobs, tokens, strict=True)
            if token in rows and rows[token] not in (slurm_id, None)
        ),
    )


def some_folder(base: Path, number: int) -> Path:
    """A new folder for a world."""
    folder = base / f"world-{number:05}"
    folder.mkdir(parents=True)
    return folder
