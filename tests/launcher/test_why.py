"""What `why` says, from what a pass would see and decide."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.cluster import Cluster, LocalCluster
from launcher.cluster.base import NoAnswer
from launcher.explain import explain
from launcher.reconcile.policy import Action
from tests.launcher.ledgers import small_ledger
from tests.launcher.paper import Paper
from tests.launcher.steered import World, world
from tests.launcher.worlds import states

__all__ = ["world"]


class Foreseeing(Paper):
    """A cluster that expects to start its jobs at a certain time."""

    def starts_at(self, slurm_id: str) -> float | None:  # noqa: ARG002 - all at once
        return 7200.0


def why(world: World, stage: str) -> dict[str, str]:
    """What is told of a stage."""
    report = world.passing().preview(world.run.id)
    judged = report.judged[world.run.id]
    [chosen] = [each for each in judged if each.facts.stage.stage == stage]
    return explain(chosen, judged, world.paper, now=world.at, no_answer=report.no_answer)


def test_waiting_stage_is_explained_by_its_parents(world: World) -> None:
    told = why(world, "middle")

    assert told["stage"] == f"middle of run {world.run.id}: waiting"
    assert told["slurm"] == "job 102 waits: it waits for its parents (Dependency)"
    assert (told["parents"], told["expected_start"]) == ("second running", "")
    assert (told["rule"], told["next"]) == (
        "waits-for-parents: Dependency",
        "nothing has to be done",
    )


def test_expected_start_is_that_of_slurm(world: World) -> None:
    waiting = [world.row("second", "PENDING", reason="Priority")]
    world.paper.queue = waiting

    assert why(world, "second")["expected_start"] == "Slurm does not say"
    world.paper = Foreseeing(queue=waiting)
    assert why(world, "second")["expected_start"].startswith("1970-01-01 ")


def test_cancelled_stage_is_explained_by_who_did_it_and_how_it_goes_on(world: World) -> None:
    world.steer("cancel", "second")
    world.forget("second", "middle", "third")
    world.pass_once()

    told = why(world, "second")

    assert told["rule"] == "cancelled-by-launcher: cancelled by `launcher cancel`"
    assert told["next"] == "it stays cancelled; launcher resume takes it up again"
    assert told["last_attempt"].startswith("number 1, cancelled, after 16.7 min; ")
    assert told["last_attempt"].endswith("by Slurm's word CANCELLED")


def test_silent_slurm_is_named_and_nothing_is_foretold(world: World) -> None:
    world.paper.queue = NoAnswer("squeue: no answer within 20 s")

    told = why(world, "second")

    assert (told["slurm"], told["next"]) == (
        "squeue: no answer within 20 s",
        "the next passes look again",
    )


def test_stage_that_has_ended_is_explained_while_slurm_is_silent(world: World) -> None:
    world.steer("cancel")
    world.forget("second", "middle", "third")
    world.pass_once()
    world.paper.queue = NoAnswer("squeue: no answer within 20 s")

    told = why(world, "second")

    assert told["rule"].startswith("cancelled-by-launcher: ")
    assert told["next"] == "it stays cancelled; launcher resume takes it up again"


def test_asking_why_changes_nothing(world: World) -> None:
    world.forget("second", "middle", "third")
    before = states(world.ledger)

    why(world, "second")

    assert (states(world.ledger), world.paper.acts) == (before, [])


def test_run_of_another_user_is_explained_by_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_ledger(tmp_path)
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path))

    assert main(["why", "second", "--json"]) == 0
    running = json.loads(capsys.readouterr().out)
    assert main(["why", "third", "--json"]) == 0
    held = json.loads(capsys.readouterr().out)

    assert running["stage"] == "second of run demo-1: running"
    assert running["slurm"] == "its jobs are shown to someone only"
    assert running["last_attempt"].startswith("number 2, failure, after 4.2 min")
    assert running["next"] == "someone's launcher acts on it"
    assert (held["slurm"], held["parents"]) == ("it has no job", "second running")
    assert held["next"] == "it stays so until launcher resume"
    assert main(["why", "nothing"]) == 2


def test_stage_on_this_machine_goes_on_with_watch(world: World) -> None:
    report = world.passing().preview(world.run.id)
    judged = report.judged[world.run.id]
    [second] = [each for each in judged if each.facts.stage.stage == "second"]
    again = replace(second, decision=replace(second.decision, action=Action.RESUBMIT))

    def next_on(cluster: Cluster) -> str:
        return explain(again, judged, cluster, now=world.at, no_answer="")["next"]

    assert next_on(LocalCluster()) == "resubmit, by the next pass (launcher watch)"
    assert next_on(world.paper) == "resubmit, by the next pass (launcher requeue)"
