"""A run begins: all is checked, the run folder is written, then the intents, then the jobs.

The order makes a kill at any line harmless. Before the one transaction of `create_run` nobody
knows the run folder; after it every job to be has a row with its token, and `submit_jobs`
hands each job over under that token before the ledger learns its Slurm id.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from db import record
from db.queries import stages_of
from db.schema import Run, StageRun, Submission
from db.states import StageKind, StageState
from jobs.contract.files import write_atomic
from jobs.contract.manifest import CheckpointFile
from jobs.contract.paths import RunFolder
from launcher.acting import Acting
from launcher.cluster.base import Cluster, JobRequest, SubmitError
from launcher.errors import ClusterError, LauncherError, UsageError
from launcher.findings import findings
from launcher.identity import user_name
from launcher.intent import frozen_settings, job_request, new_token, stage_spec, write_fence
from launcher.pipeline import Pipeline, deadline_at
from launcher.plan import PlannedStage, make_plan
from launcher.reconcile.handover import hand_over
from launcher.reconcile.observe import SeenCheckpoint
from launcher.reconcile.record import checkpoint_row, settle_run
from launcher.reuse import write_done_marker
from launcher.runs import next_command
from launcher.snapshot import Code, identify_code, new_run_folder, take_snapshot


@dataclass(frozen=True)
class Prepared:
    """A pipeline that may be submitted: everything that can be checked before has been.

    Attributes:
        pipeline: The pipeline.
        reused: The verified weights by reused stage.
        code: The code that runs.
    """

    pipeline: Pipeline
    reused: Mapping[str, CheckpointFile]
    code: Code

    @property
    def jobs(self) -> tuple[PlannedStage, ...]:
        """The stages that become jobs, parents first."""
        return jobs_of(self.pipeline)


@dataclass(frozen=True)
class NewRun:
    """A run whose folder and rows exist.

    Attributes:
        id: Its id, the name of its folder.
        folder: Its folder.
        tokens: The submission of each stage that is a job.
        slurm_ids: The jobs so far, by stage.
    """

    id: str
    folder: RunFolder
    tokens: Mapping[str, str]
    slurm_ids: dict[str, str] = field(default_factory=dict)


def jobs_of(pipeline: Pipeline) -> tuple[PlannedStage, ...]:
    """The stages that become jobs, parents first."""
    return tuple(p for p in make_plan(pipeline).stages if p.stage.kind != "reuse")


def backend_of(pipeline: Pipeline) -> str:
    """The one backend that all jobs of a pipeline use.

    Raises:
        UsageError: Stages name different ones; no dependency can reach from one to another.
    """
    backends = {planned.stage.cluster.backend: planned.stage.name for planned in jobs_of(pipeline)}
    if len(backends) > 1:
        told = ", ".join(f"stage {stage} {backend}" for backend, stage in backends.items())
        raise UsageError(f"{pipeline.path.name}: one backend for all stages, not: {told}")
    return next(iter(backends), "local")


def preview(pipeline: Pipeline, cluster: Cluster) -> list[tuple[PlannedStage, JobRequest, str]]:
    """Each job with the script that would be handed over, with made-up names; touches nothing.

    Raises:
        UsageError: The cluster can never run one of them.
    """
    run = RunFolder(pipeline.runs / f"{pipeline.name}-RUN")
    shown = []
    for planned in jobs_of(pipeline):
        parents = tuple(f"ID_OF_{name}" for name in planned.job_parents)
        request = job_request(run, planned.stage, token="TOKEN", fence=1, parents=parents)  # noqa: S106 - a submission's name
        shown.append((planned, request, cluster.script(request)))
    return shown


def prepare(pipeline: Pipeline, cluster: Cluster) -> Prepared:
    """Checks all that can be checked before anything is written.

    Raises:
        UsageError: With everything that is missing or wrong.
    """
    preview(pipeline, cluster)
    reused, wrong = findings(pipeline)
    if wrong:
        raise UsageError(wrong)
    return Prepared(pipeline, reused, identify_code())


def create_run(prepared: Prepared, cluster: Cluster, lease: Acting) -> NewRun:
    """Writes the run folder, then all rows of the run in one transaction.

    Raises:
        LauncherError: The folder cannot be made or written; it is gone again.
    """
    now = lease.clock()
    pipeline, code = prepared.pipeline, prepared.code
    folder = new_run_folder(pipeline.runs, pipeline.name, now)
    run_id = folder.root.name
    try:
        seen = _write_folder(prepared, folder, run_id)
    except OSError as error:
        shutil.rmtree(folder.root, ignore_errors=True)
        raise LauncherError(
            f"{folder.root}: the run's folder cannot be written: {error.strerror or 'no copy'}; "
            "nothing was submitted: make room there, or set LAUNCHER_RUNS to another folder"
        ) from error
    tokens = {planned.stage.name: new_token() for planned in prepared.jobs}
    run = Run(
        id=run_id,
        name=pipeline.name,
        folder=str(folder.root),
        pipeline_yaml=pipeline.resolved_yaml(),
        code_sha=code.sha,
        code_dirty=code.dirty,
        submitted_by=user_name(),
        created_at=now,
        deadline_at=deadline_at(pipeline.requeue, now),
        max_gpu_hours=pipeline.requeue.max_gpu_hours,
        stages=_stage_rows(prepared, cluster, tokens, now),
    )
    with lease.write() as session:
        record.create_run(session, run)
        for stage in run.stages:
            if stage.stage in seen:
                record.record_checkpoint(
                    session, checkpoint_row(stage.id, seen[stage.stage], at=now)
                )
        settle_run(session, run_id, at=now)
    return NewRun(run_id, folder, tokens)


def _write_folder(prepared: Prepared, folder: RunFolder, run_id: str) -> dict[str, SeenCheckpoint]:
    """Writes all that the jobs read; gives the final checkpoints of the reused stages."""
    pipeline, code = prepared.pipeline, prepared.code
    write_atomic(folder.pipeline, pipeline.resolved_yaml())
    take_snapshot(folder)
    for planned in prepared.jobs:
        stage = planned.stage
        stage_spec(pipeline, stage, run_id, code.sha).write(folder.stage(stage.name).spec)
        write_fence(folder, stage.name, 1)
    return {
        name: write_done_marker(folder.stage(name), weights, code.sha)
        for name, weights in prepared.reused.items()
    }


def _stage_rows(
    prepared: Prepared, cluster: Cluster, tokens: Mapping[str, str], now: float
) -> list[StageRun]:
    rows = []
    for position, planned in enumerate(make_plan(prepared.pipeline).stages):
        stage = planned.stage
        submissions = []
        state = StageState.REUSED
        if stage.name in tokens:
            # A cluster that holds no dependencies gets a job only when its parents are done.
            ready = cluster.holds_dependencies or not planned.job_parents
            state = StageState.SUBMITTING if ready else StageState.WAITING
            submissions = [
                Submission(
                    token=tokens[stage.name],
                    fence=1,
                    spec=frozen_settings(stage),
                    parents=[],
                    created_at=now,
                )
            ]
        rows.append(
            StageRun(
                stage=stage.name,
                position=position,
                kind=StageKind(stage.kind),
                needs=list(stage.needs),
                state=state,
                nodes=stage.cluster.max_nodes,
                min_nodes=stage.cluster.min_nodes if stage.cluster.is_elastic else None,
                gpus_per_node=stage.cluster.gpus_per_node,
                tasks_per_node=stage.cluster.tasks,
                resumable=stage.resumable,
                cluster=cluster.name,
                updated_at=now,
                submissions=submissions,
            )
        )
    return rows


def submit_jobs(prepared: Prepared, run: NewRun, cluster: Cluster, lease: Acting) -> None:
    """Hands the jobs over in order, each tied to its parents; fills in `run.slurm_ids`.

    Raises:
        ClusterError: One was refused or not answered. Its children were not handed over.
    """
    with lease.ledger.read() as session:
        rows = {row.stage: row for row in stages_of(session, run.id)}
    for planned in prepared.jobs:
        row = rows[planned.stage.name]
        # Reused parents are done already: Slurm must not be asked to wait for them.
        parents = tuple(run.slurm_ids[name] for name in planned.job_parents)
        try:
            slurm_id = hand_over(
                lease, cluster, prepared.pipeline, row, row.submissions[-1], parents
            )
        except SubmitError as error:
            _record_submit_error(lease, run, row, error)
            raise ClusterError(_what_now(error, run)) from error
        run.slurm_ids[row.stage] = slurm_id
    with lease.write() as session:
        settle_run(session, run.id, at=lease.clock())


def _record_submit_error(lease: Acting, run: NewRun, stage: StageRun, error: SubmitError) -> None:
    """Records that a stage has no job, and that therefore the stages after it have none.

    Without an answer the job may exist: the submission stays open until its name has been
    looked for.
    """
    now = lease.clock()
    with lease.write() as session:
        if error.refused:
            record.set_stage_state(session, stage.id, StageState.FAILED, at=now, why=str(error))
        for row in stages_of(session, run.id):
            if row.stage in run.tokens and row.stage not in run.slurm_ids and row.id != stage.id:
                row.submissions[-1].error = f"not submitted: stage {stage.stage} was not"
                record.set_stage_state(session, row.id, StageState.WAITING, at=now)
        settle_run(session, run.id, at=now)


def _what_now(error: SubmitError, run: NewRun) -> str:
    """The error, what is true now, and what to type next."""
    handed = ", ".join(f"stage {name} is job {job}" for name, job in run.slurm_ids.items())
    left = ", ".join(name for name in run.tokens if name not in run.slurm_ids)
    told = (
        f"{error}. Run {run.id} exists; {handed or 'no job was submitted'}; without a job: {left}."
    )
    if not error.refused:
        return f"{told} Next: {next_command('status --run', run.folder.root)}"
    cancel = f"scancel {' '.join(run.slurm_ids.values())}; " if run.slurm_ids else ""
    return f"{told} Next: {cancel}correct the pipeline and submit it again"
