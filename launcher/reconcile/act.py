"""Carries decisions out. Each act survives a kill after any of its lines.

The intent stands in the ledger before anything is done to a job, so that what is seen of the job
later has its reason, and the next pass does again what was not done.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from db import passes, record
from db.queries import submission_by_token
from db.schema import StageRun, Submission
from db.states import StageState
from jobs.contract.paths import AttemptKey, RunFolder
from launcher.acting import Acting
from launcher.cluster.base import Cluster, SubmitError
from launcher.cluster.states import Meaning
from launcher.reconcile.facts import StageFacts, is_waiting
from launcher.reconcile.judge import Judged
from launcher.reconcile.observe import stage_folder
from launcher.reconcile.policy import Action, Decision

if TYPE_CHECKING:  # most passes submit nothing, and must not pay for reading pipelines
    from launcher.pipeline import ClusterSettings, Pipeline

QUARANTINE_S = 86400.0
QUARANTINED_SHARE = 0.1
"""Part of a partition that jobs may be kept away from."""
DUMP_S = 3.0
"""How long the ranks of a hung job get to write down where they are."""


@dataclass(frozen=True)
class Became:
    """What a stage is after an act.

    Attributes:
        state: Its state.
        slurm_id: Its job, if that can still succeed.
        said: What was done, in the past tense.
    """

    state: StageState
    slurm_id: str | None
    said: str


@dataclass
class Actor:
    """Acts on the jobs of one cluster.

    Attributes:
        lease: The right to act.
        cluster: The cluster.
        load: Reads a run's frozen pipeline.
        sleep: Waits, in seconds.
    """

    lease: Acting
    cluster: Cluster
    load: "Callable[[Path], Pipeline]"
    sleep: Callable[[float], None] = time.sleep
    _pipelines: "dict[str, Pipeline]" = field(default_factory=dict, init=False)

    def act(self, judged: Judged, parents: tuple[str, ...]) -> Became:
        """Does what was decided.

        Args:
            judged: A decision that acts, and the facts it rests on.
            parents: Slurm ids that a new job has to wait for.

        Raises:
            LauncherError: It could not be done; the next pass tries again.
        """
        facts, decision = judged.facts, judged.decision
        acts: Mapping[Action, Callable[[], Became]] = {
            Action.SUBMIT: partial(self._submit, facts, decision, parents),
            Action.RESUBMIT: partial(self._resubmit, facts, decision, parents),
            Action.REWIRE: partial(self._rewire, facts, decision),
            Action.RELEASE: partial(self._release, facts, decision),
            Action.HOLD: partial(self._hold, facts, decision),
            Action.CANCEL: partial(self._end, facts, decision, "cancel"),
            Action.WITHDRAW: partial(self._end, facts, decision, "withdraw"),
            Action.STOP: partial(self._stop, facts, decision),
            Action.STOP_HUNG: partial(self._stop_hung, facts, decision),
        }
        return acts[decision.action]()

    def cancel_superseded(self, slurm_id: str, stage: StageRun) -> Became:
        """Ends a job that another has taken the place of; says so."""
        said = f"cancelled job {slurm_id}, whose submission is over"
        self._event(stage, "superseded", f"{stage.stage}: {said}", "superseded")
        self.cluster.cancel(slurm_id)
        return Became(stage.state, None, said)

    def _pipeline(self, stage: StageRun) -> "Pipeline":
        if stage.run_id not in self._pipelines:
            path = RunFolder(Path(stage.run.folder)).pipeline
            self._pipelines[stage.run_id] = self.load(path)
        return self._pipelines[stage.run_id]

    def _submit(self, facts: StageFacts, decision: Decision, parents: tuple[str, ...]) -> Became:
        became = self._hand_over(facts.stage, facts.stage.submissions[-1], parents, "submitted")
        self._decided(facts.stage, decision)
        return became

    def _resubmit(self, facts: StageFacts, decision: Decision, parents: tuple[str, ...]) -> Became:
        from launcher.reconcile.handover import add_submission  # noqa: PLC0415 - see TYPE_CHECKING

        stage = facts.stage
        planned = self._pipeline(stage).stage(stage.stage)
        self._quarantine(stage, decision.avoid, decision)
        valid = [seen.path for seen in facts.checkpoints if not seen.faults]
        submission = add_submission(
            self.lease,
            stage,
            planned,
            rule=decision.rule,
            why=decision.sentence,
            exclude=self.spared_nodes(planned.cluster),
            set_aside=valid[0] if decision.rewind and valid else None,
        )
        return self._hand_over(stage, submission, parents, "submitted again")

    def _hand_over(
        self, stage: StageRun, submission: Submission, parents: tuple[str, ...], said: str
    ) -> Became:
        from launcher.reconcile.handover import hand_over  # noqa: PLC0415 - see TYPE_CHECKING

        pipeline = self._pipeline(stage)
        try:
            slurm_id = hand_over(self.lease, self.cluster, pipeline, stage, submission, parents)
        except SubmitError as error:
            self._refused(stage, error)
            raise
        state = StageState.WAITING if parents else StageState.PENDING
        return Became(state, slurm_id, f"{said} as job {slurm_id}")

    def _refused(self, stage: StageRun, error: SubmitError) -> None:
        """Slurm's no is for a person; its silence is for the next pass."""
        if not error.refused:
            return
        with self.lease.write() as session:
            record.set_stage_state(
                session,
                stage.id,
                StageState.HELD,
                at=self.lease.clock(),
                why=str(error),
                rule="refused-by-slurm",
            )
            row = session.get_one(StageRun, stage.id)
            row.rule, row.why = "refused-by-slurm", str(error)

    def _quarantine(self, stage: StageRun, nodes: Iterable[str], decision: Decision) -> None:
        now = self.lease.clock()
        for node in nodes:
            with self.lease.write() as session:
                passes.quarantine(
                    session,
                    stage.cluster,
                    node,
                    reason=decision.rule,
                    evidence=f"{stage.run_id}/{stage.stage}: {decision.sentence}",
                    at=now,
                    until=now + QUARANTINE_S,
                )

    def spared_nodes(self, settings: "ClusterSettings") -> tuple[str, ...]:
        """Nodes in quarantine, as many as a job's partition can spare; the newest first.

        A job that takes a range of nodes rather runs on fewer than on a bad one.
        """
        with self.lease.ledger.read() as session:
            found = passes.quarantined(session, self.cluster.name, self.lease.clock())
        bad = list(dict.fromkeys(row.node for row in reversed(found)))
        total = self.cluster.num_nodes(settings.partition) if bad else None
        if total is None:
            return ()
        spare = min(max(1, int(total * QUARANTINED_SHARE)), total - settings.min_nodes)
        return tuple(bad[: max(0, spare)])

    def _rewire(self, facts: StageFacts, decision: Decision) -> Became:
        slurm_id = facts.slurm_id or ""
        self.cluster.rewire(slurm_id, decision.depends_on)
        with self.lease.write() as session:
            row = submission_by_token(session, facts.stage.submissions[-1].token)
            if row is not None:
                row.parents = list(decision.depends_on)
        waits = ", ".join(decision.depends_on) or "nobody"
        said = f"job {slurm_id} waits for {waits} now"
        self._event(facts.stage, "rewired", f"{facts.stage.stage}: {said}", decision.rule)
        return Became(decision.state or StageState.WAITING, slurm_id, said)

    def _release(self, facts: StageFacts, decision: Decision) -> Became:
        slurm_id = facts.slurm_id or ""
        self.cluster.release(slurm_id)
        with self.lease.write() as session:
            row = submission_by_token(session, facts.stage.submissions[-1].token)
            if row is not None:
                row.releases = (row.releases or 0) + 1
        self._decided(facts.stage, decision)
        return Became(StageState.PENDING, slurm_id, f"released job {slurm_id}")

    def _hold(self, facts: StageFacts, decision: Decision) -> Became:
        """Holds the job where it waits; what is held or gone already needs nothing."""
        queued = facts.situation.queued
        if queued is None or queued.meaning is Meaning.HELD or not is_waiting(facts):
            return Became(StageState.HELD, None, "")
        slurm_id = facts.slurm_id or ""
        self.cluster.hold(slurm_id)
        self._decided(facts.stage, decision)
        return Became(StageState.HELD, slurm_id, f"held job {slurm_id}")

    def _end(self, facts: StageFacts, decision: Decision, intent: str) -> Became:
        """Cancels the job if there is one, for good or until its parents are done."""
        state = decision.state or StageState.WAITING
        slurm_id = facts.slurm_id
        if slurm_id is None:
            return Became(state, None, "")
        self._intend(facts.stage, intent)
        self.cluster.cancel(slurm_id)
        self._decided(facts.stage, decision)
        return Became(state, None, f"cancelled job {slurm_id}")

    def _stop(self, facts: StageFacts, decision: Decision) -> Became:
        slurm_id = facts.slurm_id or ""
        self._intend(facts.stage, facts.stage.submissions[-1].intent or "limit")
        self.cluster.stop(slurm_id)
        self._decided(facts.stage, decision)
        return Became(StageState.RUNNING, slurm_id, f"told job {slurm_id} to save and stop")

    def _stop_hung(self, facts: StageFacts, decision: Decision) -> Became:
        slurm_id = facts.slurm_id or ""
        is_first = facts.stage.submissions[-1].intent != "hang"
        self._intend(facts.stage, "hang")
        if is_first:
            self.cluster.dump(slurm_id)
            self.sleep(DUMP_S)
            self._suspect(facts, decision)
        self.cluster.cancel(slurm_id)
        self._decided(facts.stage, decision)
        return Became(StageState.RUNNING, None, f"cancelled job {slurm_id}, which hung")

    def _suspect(self, facts: StageFacts, decision: Decision) -> None:
        """Quarantines the node whose rank could not even write down where it is."""
        last = facts.attempts[-1]
        folder = stage_folder(facts.stage)
        key = AttemptKey(last.slurm_id, last.restart)
        hosts, each = facts.hosts, facts.stage.tasks_per_node
        ranks = range(len(hosts) * each)
        silent = [rank for rank in ranks if not _told(folder.stack_file(key, rank))]
        nodes = {rank // each for rank in silent}
        if len(nodes) != 1 or len(hosts) == 1:
            return
        node = hosts[nodes.pop()]
        self._event(
            facts.stage, "suspected", f"node {node}: rank {silent[0]} did not answer", "hang"
        )
        self._quarantine(facts.stage, [node], decision)

    def _intend(self, stage: StageRun, intent: str) -> None:
        """Writes down what is about to be done to a job."""
        with self.lease.write() as session:
            row = submission_by_token(session, stage.submissions[-1].token)
            if row is not None and row.intent != intent:
                row.intent, row.intent_at = intent, self.lease.clock()

    def _decided(self, stage: StageRun, decision: Decision) -> None:
        text = f"{stage.stage}: {decision.action}, {decision.sentence}"
        self._event(stage, "decided", text, decision.rule)

    def _event(self, stage: StageRun, kind: str, text: str, rule: str) -> None:
        with self.lease.write() as session:
            record.add_event(
                session,
                kind,
                text,
                at=self.lease.clock(),
                run_id=stage.run_id,
                stage_run_id=stage.id,
                data={"rule": rule},
            )


def _told(path: Path) -> bool:
    """Whether a rank has written its stacks down; the file is there, empty, since its start."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
