"""A submitted run: its folder, its rows, its jobs, and what is left when a job is refused."""

import resource
from pathlib import Path

import pytest

from db.queries import newest_run
from db.states import RunState
from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from launcher.acting import acting
from launcher.cluster import LocalCluster, SlurmCluster
from launcher.errors import ClusterError, LauncherError, UsageError
from launcher.findings import findings
from launcher.pipeline import load_pipeline, start_from
from launcher.submit import backend_of, create_run, prepare, preview
from tests.launcher.paper import Paper
from tests.launcher.worlds import (
    begin_run,
    make_pipeline,
    open_ledger,
    stage_rows,
    states,
    submit_run,
)


def submit(folder: Path, cluster: Paper) -> None:
    submit_run(make_pipeline(folder), cluster, 1000.0)


def test_jobs_are_handed_over_in_order_each_tied_to_its_parents(tmp_path: Path) -> None:
    cluster = Paper()

    submit(tmp_path, cluster)

    assert [(request.stage, request.parents) for request in cluster.given] == [
        ("second", ()),
        ("middle", ("101",)),
        ("third", ("102",)),
    ]


def test_submitted_stages_stand_in_the_ledger_with_their_jobs(tmp_path: Path) -> None:
    submit(tmp_path, Paper())

    rows = stage_rows(open_ledger(make_pipeline(tmp_path)))

    assert {
        name: (str(row.state), [(s.slurm_id, s.fence, s.parents) for s in row.submissions])
        for name, row in rows.items()
    } == {
        "first": ("reused", []),
        "second": ("pending", [("101", 1, [])]),
        "middle": ("waiting", [("102", 1, ["101"])]),
        "third": ("waiting", [("103", 1, ["102"])]),
    }
    assert rows["first"].run.state is RunState.RUNNING


def test_run_folder_holds_all_that_the_jobs_read(tmp_path: Path) -> None:
    submit(tmp_path, Paper())
    row = stage_rows(open_ledger(make_pipeline(tmp_path)))["third"]
    run = RunFolder(Path(row.run.folder))

    spec = StageSpec.read(run.stage("third").spec)

    assert (spec.run_id, spec.stage, spec.parents, spec.init_from) == (
        run.root.name,
        "third",
        ("middle",),
        "middle",
    )
    assert run.stage("third").fence.read_text() == "1\n"
    assert sorted(path.name for path in run.code.iterdir()) == ["db", "jobs", "launcher", "model"]


def test_full_disk_is_no_bug_and_leaves_no_run(tmp_path: Path) -> None:
    pipeline, cluster = make_pipeline(tmp_path), Paper()
    prepared, limits = prepare(pipeline, cluster), resource.getrlimit(resource.RLIMIT_FSIZE)

    with acting(open_ledger(pipeline), lambda: 1000.0) as lease:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        try:
            with pytest.raises(LauncherError, match="cannot be written: File too large; nothing"):
                create_run(prepared, cluster, lease)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert [path.name for path in pipeline.runs.iterdir() if path.is_dir()] == []


def test_frozen_pipeline_loads_to_the_same_pipeline(tmp_path: Path) -> None:
    submit(tmp_path, Paper())
    pipeline = make_pipeline(tmp_path)
    row = stage_rows(open_ledger(pipeline))["first"]

    assert load_pipeline(Path(row.run.folder) / "pipeline.yaml", environ={}) == pipeline


def test_reused_stage_is_done_from_the_start(tmp_path: Path) -> None:
    submit(tmp_path, Paper())
    row = stage_rows(open_ledger(make_pipeline(tmp_path)))["first"]
    found = done_marker(RunFolder(Path(row.run.folder)).stage("first").checkpoints, digests=True)

    assert found is not None
    assert found[1].weights == str(tmp_path / "weights" / "first.pth")
    assert [(c.step, c.path, c.bytes, c.final) for c in row.checkpoints] == [
        (0, str(found[0]), 7, True)
    ]


def test_refused_job_leaves_its_children_unsubmitted_and_says_what_is_true(
    tmp_path: Path,
) -> None:
    cluster = Paper(refuses="middle")

    with pytest.raises(ClusterError) as caught:
        submit(tmp_path, cluster)

    assert caught.value.exit_code == 3
    assert "stage second is job 101; without a job: middle, third" in str(caught.value)
    assert "scancel 101" in str(caught.value)
    ledger = open_ledger(make_pipeline(tmp_path))
    assert states(ledger) == {
        "first": "reused",
        "second": "pending",
        "middle": "failed",
        "third": "waiting",
    }
    submission = stage_rows(ledger)["middle"].submissions[0]
    assert (str(submission.state), submission.error) == ("failed", "sbatch: no")


def test_unanswered_job_stays_open_because_it_may_exist(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="Next: python -m launcher status --run"):
        submit(tmp_path, Paper(silent_about="middle"))

    row = stage_rows(open_ledger(make_pipeline(tmp_path)))["middle"]
    submission = row.submissions[0]
    assert (str(row.state), str(submission.state), submission.error) == (
        "submitting",
        "submitting",
        "sbatch: no",
    )


def test_missing_and_wrong_inputs_are_all_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    pipeline = make_pipeline(tmp_path, faults=["projector.weight: is not in the model"])
    (tmp_path / "data" / "a.json").unlink()

    with pytest.raises(UsageError) as caught:
        prepare(pipeline, Paper())

    weights = tmp_path / "weights" / "first.pth"
    annotations = tmp_path / "data" / "a.json"
    assert caught.value.faults == [
        f"p.yaml:10: stages.second.train.data.0.annotations: {annotations} does not exist",
        f"p.yaml:8: stages.first.reuse: {weights}: projector.weight: is not in the model",
    ]
    assert not pipeline.runs.exists()


def test_missing_weights_are_told_once(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    (tmp_path / "weights" / "first.pth").unlink()

    assert findings(pipeline)[1] == [
        f"p.yaml:8: stages.first.reuse: {tmp_path / 'weights' / 'first.pth'} does not exist"
    ]


def test_preview_shows_each_job_with_its_parents_and_touches_nothing(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    shown = preview(pipeline, SlurmCluster())

    assert [
        (planned.stage.name, [line for line in script.splitlines() if "--dependency" in line])
        for planned, _, script in shown
    ] == [
        ("second", []),
        ("middle", ["#SBATCH --dependency=afterok:ID_OF_second"]),
        ("third", ["#SBATCH --dependency=afterok:ID_OF_middle"]),
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_run_from_the_middle_reuses_the_given_weights(tmp_path: Path) -> None:
    pipeline = start_from(make_pipeline(tmp_path), "third", tmp_path / "weights" / "first.pth")
    cluster = Paper()
    run = begin_run(pipeline, cluster, 1000.0)

    assert states(open_ledger(pipeline)) == {"middle": "reused", "third": "submitting"}
    assert list(run.tokens) == ["third"]


def test_several_nodes_on_this_machine_are_refused(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, ["cluster.nodes=4"])

    with pytest.raises(UsageError, match=r"stage second: cluster\.nodes is 4, but the local"):
        prepare(pipeline, LocalCluster())


def test_stages_on_different_backends_are_refused(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, ["stages.third.cluster={backend: slurm}"])

    with pytest.raises(UsageError, match="one backend for all stages"):
        backend_of(pipeline)


def test_run_ids_are_unique_within_a_second(tmp_path: Path) -> None:
    cluster = Paper()
    pipeline = make_pipeline(tmp_path)
    ledger = open_ledger(pipeline)

    ids = {begin_run(pipeline, cluster, 1000.0).id for _ in range(3)}

    assert len(ids) == 3
    with ledger.read() as session:
        newest = newest_run(session)
    assert newest is not None
    assert newest.id in ids
