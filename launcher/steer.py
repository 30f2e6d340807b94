"""What a person wants of stages that run or wait: cancel, hold, resume.

The wish stands in the ledger before anything is done to a job. Where Slurm does not answer then,
the next pass does what is left: it reads the same wish.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from db import record
from db.queries import stages_of
from db.schema import StageRun
from db.states import DONE_STATES, StageState
from jobs.contract.paths import RunFolder
from launcher.acting import Acting
from launcher.cluster.base import Cluster
from launcher.cluster.states import Meaning
from launcher.errors import ClusterError, UsageError
from launcher.pipeline import load_pipeline
from launcher.reconcile.facts import StageFacts, make_facts
from launcher.reconcile.handover import add_submission
from launcher.reconcile.observe import observe, open_submission
from launcher.reconcile.policy import Handover
from launcher.reconcile.record import settle_run
from launcher.reconcile.refresh import QUICK_BYTES
from launcher.reconcile.run_pass import Passing
from launcher.wishes import (
    ENDING,
    STOPPED,
    Steered,
    against_holding,
    check_resumable,
    intent_left,
    is_stopped,
    with_children,
)


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
        """Ends stages for good, and everything that needs them; all without names.

        Raises:
            UsageError: There is no such stage, or nothing that could be ended.
        """
        rows, steered = self._rows(), Steered()
        chosen = with_children(rows, self._known(rows, names))
        ended = [row for row in rows if row.stage in chosen and row.state not in DONE_STATES]
        if not ended:
            raise UsageError(f"run {self.run_id}: {', '.join(names) or 'all of it'} is done")
        self._want(ended, "cancel", StageState.CANCELLED, "cancelled by `launcher cancel`")
        for row in ended:
            submission, said = open_submission(row), f"stage {row.stage} is cancelled"
            slurm_id = submission.slurm_id if submission is not None else None
            if slurm_id is not None:
                said = f"{said}, job {slurm_id} ends"
                self._do(steered, said, partial(self.cluster.cancel, slurm_id))
            elif submission is not None and submission.sent_at is not None:
                steered.undone.append(f"{said}; sbatch never said whether it made a job to end")
            else:
                steered.said.append(said)
        return steered

    def hold(self, names: Sequence[str]) -> Steered:
        """Keeps stages from starting; those that run save first, and do not come back.

        Raises:
            UsageError: There is no such stage, or a named one is over, or it runs and cannot save.
            ClusterError: Slurm did not answer.
        """
        facts, steered = self._look(), Steered()
        known = [facts[name] for name in self._known([f.stage for f in facts.values()], names)]
        against = {each.stage.stage: why for each in known if (why := against_holding(each))}
        if against and (names or len(against) == len(known)):
            raise UsageError(f"stage {name} {why}" for name, why in against.items())
        chosen = [each for each in known if each.stage.stage not in against]
        idle = [each.stage for each in chosen if each.situation.queued is None]
        busy = [each.stage for each in chosen if each.situation.queued is not None]
        self._want(busy, "hold", None, "")
        self._want(idle, "hold", StageState.HELD, "held by `launcher hold`")
        for each in chosen:
            queued, job, name = each.situation.queued, each.slurm_id or "", each.stage.stage
            if queued is None:
                steered.said.append(f"stage {name} is held; it has no job at the moment")
            elif queued.meaning is Meaning.RUNNING:
                said = f"stage {name} runs as job {job}: it saves, and is held then"
                self._do(steered, said, partial(self.cluster.stop, job), again=True)
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
        chosen = self._to_resume(list(facts.values()), names)
        if not chosen:
            raise UsageError(f"run {self.run_id}: no stage is held, failed or cancelled")
        for name in chosen:
            check_resumable(facts[name])
        self._forgive([facts[name] for name in chosen])
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

    def _to_resume(self, facts: Sequence[StageFacts], names: Sequence[str]) -> list[str]:
        rows = [each.stage for each in facts]
        states = {row.stage: row.state for row in rows}
        if not names:
            return [each.stage.stage for each in facts if is_stopped(each)]
        named = self._known(rows, names)
        if done := [name for name in named if states[name] in DONE_STATES]:
            raise UsageError(f"stage {done[0]} is done; there is nothing to resume")
        below = with_children(rows, named)
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
        name, job = stage.stage, facts.slurm_id or ""
        if queued is not None and facts.situation.intent in ENDING:
            steered.said.append(f"stage {name}: job {job} still ends; then it gets a new one")
        elif queued is not None and queued.meaning is Meaning.HELD:
            said = f"stage {name}: job {job} is released"
            self._do(steered, said, partial(self.cluster.release, job), again=True)
        elif queued is not None:
            steered.said.append(f"stage {name} goes on as job {job}")
        elif stage.state in STOPPED and facts.situation.handover is not Handover.UNSENT:
            # Of any other stage without a job the pass knows more: it may be settling.
            pipeline = load_pipeline(RunFolder(Path(stage.run.folder)).pipeline)
            add_submission(
                self.lease,
                stage,
                pipeline.stage(name),
                rule="resumed",
                why="resumed by `launcher resume`",
            )

    def _forgive(self, chosen: Iterable[StageFacts]) -> None:
        now = self.lease.clock()
        with self.lease.write() as session:
            known = {row.id: row for row in stages_of(session, self.run_id)}
            for facts in chosen:
                mine, stopped = known[facts.stage.id], facts.stage.state in STOPPED
                mine.counted_from, mine.why = now, None
                self._asked(session, mine, "resume")
                if mine.submissions:
                    newest = mine.submissions[-1]
                    is_live = facts.situation.queued is not None
                    newest.intent = intent_left(newest.intent, stopped=stopped, live=is_live)
                    newest.intent_at, newest.releases = now, None
                if stopped:
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
                self._asked(session, mine, intent)
                if submission is not None:
                    submission.intent, submission.intent_at = intent, now
                    if intent == "cancel" and submission.sent_at is None:
                        record.close_submission(session, submission.token)
                if state is not None:
                    record.set_stage_state(session, mine.id, state, at=now, why=why)
                    mine.why, mine.rule = why, f"{state}-by-launcher"
            settle_run(session, self.run_id, at=now)

    def _asked(self, session: Session, stage: StageRun, wish: str) -> None:
        record.add_event(
            session,
            "asked",
            f"{stage.stage}: somebody typed launcher {wish}",
            at=self.lease.clock(),
            run_id=self.run_id,
            stage_run_id=stage.id,
        )

    def _do(
        self, steered: Steered, said: str, act: Callable[[], None], *, again: bool = False
    ) -> None:
        """Acts on a job; `again`: no pass will do it, should Slurm not answer now."""
        try:
            act()
        except ClusterError as error:
            undone = f"{said} when Slurm answers: {error}"
            (steered.refused if again else steered.undone).append(undone)
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
