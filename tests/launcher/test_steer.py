"""What needs no Slurm of cancel, hold, resume and of the commands that only show."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from db.passes import quarantine
from jobs.contract.manifest import Manifest, describe, write_manifest
from jobs.contract.paths import RunFolder
from launcher.cli import main
from launcher.cluster.base import NoAnswer
from launcher.cluster.reasons import in_words
from launcher.errors import ClusterError, UsageError
from tests.launcher.paper import Paper
from tests.launcher.steered import World, world
from tests.launcher.worlds import stage_rows, states

__all__ = ["world"]

ROOT = Path(__file__).parents[2]


def test_cancel_reaches_everything_that_needs_the_stage(world: World) -> None:
    world.steer("cancel", "middle")

    assert world.paper.acts == ["cancel 102", "cancel 103"]
    assert states(world.ledger)["second"] == "pending"
    assert (states(world.ledger)["middle"], states(world.ledger)["third"]) == (
        "cancelled",
        "cancelled",
    )


def test_wish_stays_in_the_ledger_when_slurm_does_not_answer(world: World) -> None:
    class Silent(Paper):
        def cancel(self, slurm_id: str) -> None:
            raise ClusterError(f"scancel: no answer about {slurm_id}")

    world.paper = Silent()

    told = world.steer("cancel", "third")

    assert told == [
        "stage third is cancelled, job 103 ends when Slurm answers: scancel: no answer about 103"
    ]
    [submission] = stage_rows(world.ledger)["third"].submissions
    assert (submission.intent, str(submission.state)) == ("cancel", "submitted")


def test_job_that_sbatch_never_told_of_is_ended_when_it_appears(world: World) -> None:
    world.lose_answer("third")
    world.paper.queue = [world.row("second", "RUNNING"), world.row("middle", "PENDING")]

    told = world.steered("cancel", "third").undone
    world.pass_once(10.0)
    world.show(second="RUNNING")
    world.pass_once(10.0)

    assert told == ["stage third is cancelled; sbatch never said whether it made a job to end"]
    assert (world.paper.acts, states(world.ledger)["third"]) == (["cancel 103"], "cancelled")


def test_cancelled_run_is_looked_at_until_a_job_on_its_way_must_have_appeared(
    world: World,
) -> None:
    for stage in world.run.tokens:
        world.lose_answer(stage)
    world.paper.queue = []
    world.steer("cancel")

    world.pass_once(10.0)
    looked = world.pass_once(10.0).stages
    world.pass_once(200.0)

    assert (looked, world.pass_once().stages) == (4, 0)


def test_done_stage_cannot_be_cancelled_or_held(world: World) -> None:
    with pytest.raises(UsageError, match="stage first is reused; there is nothing to hold"):
        world.steer("hold", "first")

    world.steer("cancel")
    with pytest.raises(UsageError, match="stage middle is cancelled; there is nothing to hold"):
        world.steer("hold", "middle")


def test_running_stage_that_cannot_go_on_later_is_not_stopped_by_hold(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    world = World(tmp_path / "other", ["stages.second.resumable=false"])

    with pytest.raises(UsageError, match="stage second runs and cannot go on later"):
        world.steer("hold", "second")
    told = world.steer("hold")

    assert world.paper.acts == ["hold 102", "hold 103"]
    assert told[0] == "stage middle is held: job 102 waits in the queue"


def test_cancel_asks_on_a_terminal_and_does_nothing_without_a_yes(world: World) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "launcher", "cancel", "third"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.write(ours, b"\n")
    _, said = process.communicate(timeout=180)
    os.close(theirs)
    os.close(ours)

    assert said == (
        f"cancel third of run {world.run.id}, and what needs it? [y/N] "
        "error: nothing was cancelled\n"
    )
    assert (process.returncode, states(world.ledger)["third"]) == (2, "waiting")


def test_hold_lets_a_running_job_save_and_holds_one_that_waits(world: World) -> None:
    world.steer("hold", "second", "middle")

    assert world.paper.acts == ["stop 101", "hold 102"]


def test_nothing_is_held_or_resumed_while_slurm_is_silent(world: World) -> None:
    world.paper.queue = NoAnswer("squeue: no answer")

    for wish in ("hold", "resume"):
        with pytest.raises(ClusterError, match="nothing was changed"):
            world.steer(wish, "second")


def test_resume_of_a_run_that_goes_on_says_so(world: World) -> None:
    with pytest.raises(UsageError, match="no stage is held, failed or cancelled"):
        world.steer("resume")


def test_unknown_stage_is_told_with_the_known_ones(world: World) -> None:
    with pytest.raises(UsageError, match="no stage 'secnd'; known: first, second"):
        world.steer("cancel", "secnd")


def test_child_of_a_cancelled_stage_cannot_be_resumed_alone(world: World) -> None:
    world.steer("cancel", "middle")
    world.paper.queue = []

    with pytest.raises(UsageError, match="needs middle, which is cancelled"):
        world.steer("resume", "third")


def test_checkpoints_are_listed_and_a_damaged_one_is_an_error(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(world.run.folder.root).stage("second").checkpoint(5)
    folder.mkdir(parents=True)
    (folder / "weights").write_text("weights")
    write_manifest(folder, Manifest(step=5, files=(describe(folder / "weights", "weights"),)))
    assert main(["checkpoints", "second"]) == 0
    assert "sizes are right" in capsys.readouterr().out
    (folder / "weights").write_text("WEIGHTS")

    assert main(["checkpoints", "second"]) == 0
    assert main(["checkpoints", "second", "--verify"]) == 1

    assert "digest differs" in capsys.readouterr().out


def test_checkpoint_that_was_set_aside_is_listed_as_such(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(world.run.folder.root).stage("second").root / "set-aside" / "step-00000005.2"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("weights")
    write_manifest(folder, Manifest(step=5, files=(describe(folder / "weights", "weights"),)))
    (folder / "weights").unlink()

    assert main(["checkpoints"]) == 0

    assert "set aside, " in capsys.readouterr().out


def test_events_of_an_unknown_stage_are_an_error(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "--run", world.run.id, "--stage", "secnd"]) == 2

    assert "no stage 'secnd'; known: first, second" in capsys.readouterr().err


def test_events_say_what_was_asked_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.steer("hold", "second")

    assert main(["events", "--stage", "second", "-n", "1"]) == 0

    assert capsys.readouterr().out.endswith("second: somebody typed launcher hold\n")


def test_events_tell_decisions_with_their_rules(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.steer("cancel", "third")

    assert main(["events", "-n", "3"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert any("third went from waiting to cancelled" in line for line in lines)


def test_nodes_in_quarantine_are_listed_and_cleared(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with world.ledger.write() as session:
        quarantine(session, "slurm", "node7", reason="hang", evidence="rank 3", at=1.0, until=1e12)

    assert main(["nodes"]) == 0
    assert "node7" in capsys.readouterr().out
    assert main(["nodes", "clear", "node7"]) == 0
    assert main(["nodes", "clear", "node7"]) == 2

    assert "node7 is not in quarantine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PartitionNodeLimit", "it waits for ever"),
        ("launch_failed_requeued_held", "could not start it"),
        ("ReqNodeNotAvail, UnavailableNodes:node1", "down, drained or reserved"),
        ("SomethingNew", "SomethingNew"),
    ],
)
def test_slurms_reason_is_told_in_words(reason: str, words: str) -> None:
    assert words in in_words(reason)
    assert reason in in_words(reason)
