"""What a person wants of stages that run or wait: cancel, hold, resume.

The wish stands in the ledger before anything is done to a job. Where Slurm does not answer then,
the next pass does what is left: it reads the same wish.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from db import record
from db.queries import stages_of
from db.schema import StageRun
from db.states import StageState
from jobs.contract.paths import RunFolder
from launcher.acting import Acting
from launcher.cluster.base import Cluster
from launcher.cluster.states import Meaning
from launcher.errors import ClusterError, LauncherError, UsageError
from launcher.pipeline import load_pipeline
from launcher.reconcile.facts import StageFacts, make_facts
from launcher.reconcile.handover import add_submission
from launcher.reconcile.observe import observe, open_submission
from launcher.reconcile.policy import Handover
from launcher.reconcile.policy.decide import ANSWER_S
from launcher.reconcile.record import settle_run
from launcher.reconcile.refresh import QUICK_BYTES
from launcher.reconcile.run_pass import Passing

_FINISHED = (StageState.DONE, StageState.REUSED)
_STOPPED = (StageState.HELD, StageState.FAILED, StageState.CANCELLED)


@dataclass
class Steered:
    """What came of a wish.

    Attributes:
        said: What is true now, one line a stage.
        undone: What Slurm did not do; the next pass does it.
    """

    said: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)


@dataclass
class Steering:
    """The stages of one run in a person's hands.

    Attributes:
        lease: The right to act.
        cluster: Where the run's jobs are.
        run_id: The run.
    """

    lease: Acting
    cluster: Cluster
    run_id: str

    def cancel(self, names: Sequence[str]) -> Steered:
        """Ends stages for good, and everything that needs them; all without names."""
        rows, steered = self._rows(), Steered()
        chosen = _with_children(rows, self._known(rows, names))
        ended = [row for row in rows if row.stage in chosen and row.state not in _FINISHED]
        self._want(ended, "cancel", StageState.CANCELLED, "cancelled by `launcher cancel`")
        for row in ended:
            submission = open_submission(row)
            slurm_id = submission.slurm_id if submission is not None else None
            if slurm_id is None:
                steered.said.append(f"stage {row.stage} is cancelled")
                continue
            said = f"stage {row.stage} is cancelled, job {slurm_id} ends"
            self._do(steered, said, partial(self.cluster.cancel, slurm_id))
        return steered

    def hold(self, names: Sequence[str]) -> Steered:
        """Keeps stages from starting; those that run save first, and do not come back."""
        facts, steered = self._look(), Steered()
        known = self._known([each.stage for each in facts.values()], names)
        chosen = [facts[name] for name in known if facts[name].stage.state not in _FINISHED]
        idle = [each.stage for each in chosen if each.situation.queued is None]
        self._want([each.stage for each in chosen], "hold", None, "")
        self._want(idle, "hold", StageState.HELD, "held by `launcher hold`")
        for each in chosen:
            queued, job, name = each.situation.queued, each.slurm_id or "", each.stage.stage
            if queued is None:
                steered.said.append(f"stage {name} is held; it has no job at the moment")
            elif queued.meaning is Meaning.RUNNING:
                said = f"stage {name} runs as job {job}: it saves, and is held then"
                self._do(steered, said, partial(self.cluster.stop, job))
            else:
                said = f"stage {name} is held: job {job} waits in the queue"
                self._do(steered, said, partial(self.cluster.hold, job))
        return steered

    def resume(self, names: Sequence[str]) -> Steered:
        """Lets held, failed or cancelled stages go on, all old attempts forgiven.

        Without names: all of the run. Cancelled children of a named stage come along.

        Raises:
            UsageError: A named stage is done, or needs one that stays cancelled.
            ClusterError: Slurm did not answer: a job might be there already.
        """
        facts, steered = self._look(), Steered()
        rows = [each.stage for each in facts.values()]
        chosen = self._to_resume(rows, names)
        if not chosen:
            raise UsageError(f"run {self.run_id}: no stage is held, failed or cancelled")
        for name in chosen:
            _check_resumable(facts[name])
        self._forgive([facts[name].stage for name in chosen])
        for name in chosen:
            self._resume_one(steered, facts[name])
        passing = Passing(
            self.lease.ledger,
            lambda _: self.cluster,
            load_pipeline,
            digest_bytes=QUICK_BYTES,
            clock=self.lease.clock,
        )
        report = passing.run_within(self.lease, self.run_id)
        steered.said += [f"stage {d.stage}: {d.said}" for d in report.done if d.said]
        steered.undone += [f"stage {d.stage}: {d.error}" for d in report.errors]
        return steered

    def _to_resume(self, rows: Sequence[StageRun], names: Sequence[str]) -> list[str]:
        states = {row.stage: row.state for row in rows}
        if not names:
            return [row.stage for row in rows if row.state in _STOPPED or _is_wanted_held(row)]
        named = self._known(rows, names)
        if done := [name for name in named if states[name] in _FINISHED]:
            raise UsageError(f"stage {done[0]} is done; there is nothing to resume")
        below = _with_children(rows, named)
        chosen = [
            row.stage
            for row in rows
            if row.stage in named or (row.stage in below and row.state is StageState.CANCELLED)
        ]
        for row in rows:
            stays = [n for n in row.needs if states[n] is StageState.CANCELLED and n not in chosen]
            if row.stage in chosen and stays:
                raise UsageError(
                    f"stage {row.stage} needs {stays[0]}, which is cancelled; "
                    f"resume that: launcher resume {stays[0]}"
                )
        return chosen

    def _resume_one(self, steered: Steered, facts: StageFacts) -> None:
        queued, stage = facts.situation.queued, facts.stage
        job = facts.slurm_id or ""
        if queued is not None and queued.meaning is Meaning.HELD:
            said = f"stage {stage.stage}: job {job} is released"
            self._do(steered, said, partial(self.cluster.release, job))
        elif queued is not None:
            steered.said.append(f"stage {stage.stage} goes on as job {job}")
        elif facts.situation.handover is not Handover.UNSENT:
            pipeline = load_pipeline(RunFolder(Path(stage.run.folder)).pipeline)
            add_submission(
                self.lease,
                stage,
                pipeline.stage(stage.stage),
                rule="resumed",
                why="resumed by `launcher resume`",
            )

    def _forgive(self, rows: Iterable[StageRun]) -> None:
        now = self.lease.clock()
        with self.lease.write() as session:
            known = {row.id: row for row in stages_of(session, self.run_id)}
            for row in rows:
                mine = known[row.id]
                mine.counted_from, mine.why = now, None
                if mine.submissions:
                    newest = mine.submissions[-1]
                    newest.intent, newest.intent_at, newest.releases = None, now, None
                if mine.state in _STOPPED:
                    record.set_stage_state(
                        session, mine.id, StageState.INTERRUPTED, at=now, why="resumed"
                    )
            settle_run(session, self.run_id, at=now)

    def _want(
        self, rows: Sequence[StageRun], intent: str, state: StageState | None, why: str
    ) -> None:
        """Writes a wish down, and what the stages are by it."""
        now = self.lease.clock()
        with self.lease.write() as session:
            known = {row.id: row for row in stages_of(session, self.run_id)}
            for row in rows:
                mine = known[row.id]
                submission = open_submission(mine)
                if submission is not None:
                    submission.intent, submission.intent_at = intent, now
                    if intent == "cancel" and submission.sent_at is None:
                        record.close_submission(session, submission.token)
                if state is not None:
                    record.set_stage_state(session, mine.id, state, at=now, why=why)
                    mine.why, mine.rule = why, f"{state}-by-launcher"
            settle_run(session, self.run_id, at=now)

    def _do(self, steered: Steered, said: str, act: Callable[[], None]) -> None:
        try:
            act()
        except ClusterError as error:
            steered.undone.append(f"{said} when Slurm answers: {error}")
        else:
            steered.said.append(said)

    def _rows(self) -> Sequence[StageRun]:
        with self.lease.ledger.read() as session:
            return stages_of(session, self.run_id)

    def _look(self) -> dict[str, StageFacts]:
        """The facts about all stages; raises ClusterError where Slurm does not answer."""
        rows = self._rows()
        seen = observe(rows, self.cluster, now=self.lease.clock(), digest_bytes=QUICK_BYTES)
        if seen.no_answer is not None:
            raise ClusterError(f"{seen.no_answer.what}; nothing was changed: try again")
        return {each.stage.stage: each for each in make_facts(rows, seen)}

    def _known(self, rows: Sequence[StageRun], names: Sequence[str]) -> list[str]:
        """The named stages in order; all of those that are jobs without names."""
        all_names = [row.stage for row in rows]
        for name in names:
            if name not in all_names:
                raise UsageError(
                    f"run {self.run_id}: no stage '{name}'; known: {', '.join(all_names)}"
                )
        jobs = [row.stage for row in rows if row.state is not StageState.REUSED]
        return [name for name in all_names if name in names] if names else jobs


def _check_resumable(facts: StageFacts) -> None:
    """Refuses where a job may exist that nobody has seen yet."""
    situation = facts.situation
    if situation.handover is Handover.SENT and situation.sent_s < ANSWER_S:
        raise LauncherError(
            f"stage {facts.stage.stage}: a job of it is on its way and has not been seen yet; "
            "try again in two minutes"
        )


def _is_wanted_held(row: StageRun) -> bool:
    submission = open_submission(row)
    return submission is not None and submission.intent == "hold"


def _with_children(rows: Sequence[StageRun], names: Iterable[str]) -> set[str]:
    """These stages and all that need them, directly or not; rows are in order."""
    found = set(names)
    for row in rows:
        if found.intersection(row.needs):
            found.add(row.stage)
    return found
