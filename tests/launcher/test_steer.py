"""What needs no Slurm of cancel, hold, resume and of the commands that only show."""

from pathlib import Path

import pytest

from db.passes import quarantine
from jobs.contract.manifest import Manifest, describe, write_manifest
from jobs.contract.paths import RunFolder
from launcher.acting import acting
from launcher.cli import main
from launcher.cluster.base import JobRow, NoAnswer, job_name
from launcher.cluster.reasons import in_words
from launcher.errors import ClusterError, UsageError
from launcher.steer import Steering
from launcher.submit import NewRun
from tests.launcher.paper import Paper
from tests.launcher.worlds import (
    clock_of,
    make_pipeline,
    open_ledger,
    stage_rows,
    states,
    submit_run,
)


class World:
    """A submitted run on paper."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = make_pipeline(folder)
        self.paper = Paper()
        self.ledger = open_ledger(self.pipeline)
        self.run: NewRun = submit_run(self.pipeline, self.paper, 1000.0)
        self.show(second="RUNNING")

    def show(self, **words: str) -> None:
        """What the queue shows."""
        self.paper.queue = [
            JobRow(
                slurm_id=self.run.slurm_ids[stage],
                restart=0,
                name=job_name(stage, self.run.tokens[stage]),
                word=words.get(stage, "PENDING"),
                reason="" if words.get(stage) == "RUNNING" else "Dependency",
                source="squeue",
            )
            for stage in self.run.tokens
        ]

    def steer(self, wish: str, *names: str) -> list[str]:
        with acting(self.ledger, clock_of(2000.0)) as lease:
            steered = getattr(Steering(lease, self.paper, self.run.id), wish)(names)
        return [*steered.said, *steered.undone]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    return World(tmp_path)


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
