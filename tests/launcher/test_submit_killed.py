"""`submit` killed at any job leaves no job without a row and no row that hides a job."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cluster.base import JobRow, job_name
from launcher.reconcile.refresh import refresh_run
from tests.launcher.paper import Paper
from tests.launcher.worlds import make_pipeline, open_ledger, stage_rows, states

PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.launcher.paper import Paper
from tests.launcher.worlds import make_pipeline, submit_run

folder, moment = Path(sys.argv[1]), sys.argv[2]

def die(request):
    if request.stage == "middle":
        os.kill(os.getpid(), signal.SIGKILL)

cluster = Paper(**{moment: die})
submit_run(make_pipeline(folder), cluster, 1000.0)
"""


@pytest.fixture(params=["before", "after"])
def killed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which a submit was killed just before or after the second sbatch."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), request.param], timeout=180, check=False
    )
    assert done.returncode == -signal.SIGKILL
    return tmp_path


def test_every_stage_has_a_row_and_the_unanswered_one_is_open(killed: Path) -> None:
    rows = stage_rows(open_ledger(make_pipeline(killed)))

    assert {
        name: [(str(s.state), s.slurm_id) for s in row.submissions] for name, row in rows.items()
    } == {
        "first": [],
        "second": [("submitted", "101")],
        "middle": [("submitting", None)],
        "third": [("submitting", None)],
    }


def test_job_whose_answer_was_lost_is_found_by_the_token_in_its_name(killed: Path) -> None:
    ledger = open_ledger(make_pipeline(killed))
    row = stage_rows(ledger)["middle"]
    name = job_name("middle", row.submissions[0].token)
    job = JobRow(slurm_id="102", restart=0, name=name, word="RUNNING", source="squeue")

    refresh_run(
        ledger,
        row.run_id,
        lambda _: Paper(queue=[job]),
        clock=lambda: 1002.0,
        digest_bytes=0,
    )

    submission = stage_rows(ledger)["middle"].submissions[0]
    assert (str(submission.state), submission.slurm_id) == ("submitted", "102")
    assert states(ledger)["middle"] == "running"


def test_stage_whose_parent_has_no_job_waits_for_it(killed: Path) -> None:
    ledger = open_ledger(make_pipeline(killed))
    run_id = stage_rows(ledger)["third"].run_id

    refresh_run(ledger, run_id, lambda _: Paper(), clock=lambda: 1002.0, digest_bytes=0)

    assert states(ledger)["third"] == "waiting"
