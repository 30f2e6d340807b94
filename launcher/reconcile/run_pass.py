"""One pass: observe, make facts, decide, record, act. Nothing is ever done on a guess.

Two questions to the scheduler, whatever the number of jobs. All that was seen is recorded in one
transaction before the first act. Within a run parents come first, so that a child already sees the
job that its parent became. A job that cannot be helped does not keep the others from it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from db import passes, record
from db.ledger import Ledger
from db.queries import stages_of, stages_to_look_at, submissions_by_token, taken_slurm_ids
from db.schema import Pass, StageRun
from db.states import OPEN_SUBMISSION_STATES
from launcher.acting import Acting, acting
from launcher.cluster.base import Cluster
from launcher.hazard import tell_changed_hazards
from launcher.identity import user_name
from launcher.reconcile.act import Actor
from launcher.reconcile.facts import StageFacts, make_facts
from launcher.reconcile.judge import Judged, judge_run, superseded_jobs
from launcher.reconcile.observe import Observation, observe
from launcher.reconcile.record import record_judged, settle_run
from launcher.reconcile.walk import Done, cancel_superseded, walk

if TYPE_CHECKING:  # most passes submit nothing, and must not pay for reading pipelines
    from launcher.pipeline import Pipeline


@dataclass
class Report:
    """What a pass saw and did.

    Attributes:
        queries: Questions put to the scheduler.
        no_answer: Who did not answer, in words; empty: all did. Nothing was done then.
        stages: Stage runs that were looked at.
        done: The decisions that act.
        judged: Everything that was decided, by run.
    """

    queries: int = 0
    no_answer: str = ""
    stages: int = 0
    done: list[Done] = field(default_factory=list)
    judged: dict[str, list[Judged]] = field(default_factory=dict)

    @property
    def errors(self) -> list[Done]:
        """What could not be done."""
        return [each for each in self.done if each.error]


@dataclass
class Passing:
    """Passes over a ledger.

    Attributes:
        ledger: The ledger.
        open_cluster: Gives the cluster of a name.
        load: Reads a run's frozen pipeline.
        digest_bytes: What may be read of new checkpoints to verify them.
        clock: Unix seconds.
        sleep: Waits, in seconds.
    """

    ledger: Ledger
    open_cluster: Callable[[str], Cluster]
    load: "Callable[[Path], Pipeline]"
    digest_bytes: float
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def preview(self, run_id: str | None = None) -> Report:
        """The same decisions, nothing written and nothing done."""
        report = Report()
        for cluster, stages in self._by_cluster(run_id):
            _, facts = self._look(report, cluster, stages)
            for judged in _judge_all(facts):
                report.judged.setdefault(judged.facts.stage.run_id, []).append(judged)
            for run in _runs(facts):
                report.done += walk(run, cluster, None, now=self.clock())
        return report

    def run(self, run_id: str | None = None, *, wait_s: float = 0.0) -> Report:
        """One pass over a run, or over all that are not driven by a person's own process.

        Raises:
            BusyError: Another launcher is acting.
            LedgerError: The ledger cannot be used, or the lease was taken over.
        """
        with acting(self.ledger, self.clock, wait_s=wait_s) as lease:
            return self.run_within(lease, run_id)

    def run_within(self, lease: Acting, run_id: str | None = None) -> Report:
        """The same, for who holds the right to act already."""
        report, began = Report(), self.clock()
        for cluster, stages in self._by_cluster(run_id):
            seen, facts = self._look(report, cluster, stages)
            judged = _judge_all(facts)
            with lease.write() as session:
                record_judged(session, judged, at=seen.at, counts=True)
            report.done += tell_changed_hazards(self.ledger, judged, now=seen.at)
            for each in judged:
                report.judged.setdefault(each.facts.stage.run_id, []).append(each)
            if seen.no_answer is None:
                self._act(report, lease, cluster, seen, facts)
        self._settle(lease, report)
        if run_id is None or report.queries:
            self._record_pass(lease, report, began)
        return report

    def _by_cluster(self, run_id: str | None) -> list[tuple[Cluster, list[StageRun]]]:
        """Our own stage runs: of another user's jobs Slurm shows us nothing."""
        with self.ledger.read() as session:
            rows = stages_of(session, run_id) if run_id else stages_to_look_at(session)
        found: dict[str, list[StageRun]] = {}
        for row in rows:
            is_driven = run_id is None and row.cluster == "local"
            if row.run.submitted_by == user_name() and not is_driven:
                found.setdefault(row.cluster, []).append(row)
        return [(self.open_cluster(name), stages) for name, stages in found.items()]

    def _look(
        self, report: Report, cluster: Cluster, stages: Sequence[StageRun]
    ) -> tuple[Observation, list[StageFacts]]:
        seen = observe(stages, cluster, now=self.clock(), digest_bytes=self.digest_bytes)
        report.queries += seen.queries
        report.stages += len(stages)
        if seen.no_answer is not None:
            report.no_answer = seen.no_answer.what
        return seen, make_facts(stages, seen)

    def _act(
        self,
        report: Report,
        lease: Acting,
        cluster: Cluster,
        seen: Observation,
        facts: Sequence[StageFacts],
    ) -> None:
        actor = Actor(lease, cluster, self.load, self.sleep)
        for run in _runs(facts):
            report.done += walk(run, cluster, actor, now=self.clock())
        self._end_superseded(report, actor, seen, facts)

    def _end_superseded(
        self, report: Report, actor: Actor, seen: Observation, facts: Sequence[StageFacts]
    ) -> None:
        """Ends jobs of our own that no open submission stands for any more."""
        known = [each.slurm_id for each in facts if each.slurm_id is not None]
        extra = superseded_jobs(seen.live, known)
        tokens = {row.name.rpartition(".")[2]: row.slurm_id for row in extra}
        if not tokens:
            return
        with self.ledger.read() as session:
            taken = taken_slurm_ids(session, list(tokens.values()), actor.cluster.name)
            over = [
                (tokens[submission.token], submission.stage_run)
                for submission in submissions_by_token(session, list(tokens))
                if submission.state not in OPEN_SUBMISSION_STATES
                and tokens[submission.token] not in taken
            ]
        report.done += [cancel_superseded(actor, slurm_id, stage) for slurm_id, stage in over]

    def _settle(self, lease: Acting, report: Report) -> None:
        """The states of the runs, after all acts."""
        changed = {each.run for each in report.done if each.said or each.error}
        if not changed:
            return
        with lease.write() as session:
            for each in report.errors:
                record.add_event(
                    session,
                    "act_failed",
                    f"{each.stage}: {each.action} failed: {each.error}",
                    at=self.clock(),
                    run_id=each.run,
                    data={"rule": each.rule},
                )
            for run_id in sorted(changed):
                settle_run(session, run_id, at=self.clock())

    def _record_pass(self, lease: Acting, report: Report, began: float) -> None:
        did = [f"{each.run}/{each.stage}: {each.said or each.error}" for each in report.done]
        row = Pass(
            started_at=began,
            ended_at=self.clock(),
            degraded=bool(report.no_answer),
            queries=report.queries,
            did=[line for line in did if not line.endswith(": ")],
            host=os.uname().nodename,
            pid=os.getpid(),
        )
        with lease.write() as session:
            passes.add_pass(session, row)


def _judge_all(facts: Sequence[StageFacts]) -> list[Judged]:
    return [judged for run in _runs(facts) for judged in judge_run(run)]


def _runs(facts: Sequence[StageFacts]) -> list[list[StageFacts]]:
    """The facts run by run."""
    return [list(run) for _, run in groupby(facts, key=lambda each: each.stage.run_id)]
