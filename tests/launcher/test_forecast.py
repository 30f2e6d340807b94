"""When stages and runs will be done, by what that is known, and what became of their time."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from db.earlier import Earlier
from db.schema import Attempt, StageRun
from db.states import StageKind, StageState
from launcher.expectation import Expectation, expected, read_expect
from launcher.forecast import RunForecast, forecast
from launcher.goodput import Work, in_all, work_of
from launcher.view import CheckpointView, StageView
from tests.launcher.test_progress import RUNNING

DONE = replace(RUNNING, stage="a", state=StageState.DONE)
B = replace(RUNNING, stage="b")
WAITING = replace(
    RUNNING, state=StageState.WAITING, step=None, total_steps=None, step_s=None, wall_clock_s=0.0
)
C, D = replace(WAITING, stage="c"), replace(WAITING, stage="d")
NEEDS = {"a": (), "b": ("a",), "c": ("b",), "d": ("b",)}
EXPECTED = {"c": Expectation(300.0, "3 earlier runs"), "d": Expectation(100.0, "expect")}


def foresee(
    *views: StageView, known: Mapping[str, Expectation] = EXPECTED, in_turn: bool = False
) -> tuple[dict[str, tuple[float | None, str | None]], RunForecast]:
    found, run = forecast(views, NEEDS, known, in_turn=in_turn)
    return {view.stage: (view.eta_s, view.eta_basis) for view in found}, run


def test_stage_that_steps_is_foreseen_by_its_last_steps_and_the_others_after_it() -> None:
    etas, run = foresee(DONE, B, C, D)

    assert etas == {
        "a": (None, None),
        "b": (80.0, "last steps"),
        "c": (380.0, "3 earlier runs"),
        "d": (180.0, "expect"),
    }
    assert run == RunForecast(380.0)


def test_cluster_that_runs_one_stage_at_a_time_adds_them_up() -> None:
    etas, run = foresee(DONE, B, C, D, in_turn=True)

    assert (etas["d"][0], run.eta_s) == (480.0, 480.0)


def test_stage_of_which_nothing_is_known_is_named_and_counts_as_nothing() -> None:
    etas, run = foresee(DONE, B, C, D, known={"d": Expectation(100.0, "expect")})

    assert (etas["c"], run) == ((None, None), RunForecast(180.0, without=("c",)))


def test_stage_after_an_unknown_one_has_no_eta_of_its_own() -> None:
    unknown = replace(B, total_steps=None)

    etas, run = foresee(DONE, unknown, C)

    assert (etas["c"][0], run) == (None, RunForecast(300.0, without=("b",)))


def test_failed_stage_stops_the_run_and_has_no_eta() -> None:
    failed = replace(B, state=StageState.FAILED)

    etas, run = foresee(DONE, failed, C)

    assert (etas["b"], etas["c"][0], run.stopped) == ((None, None), None, ("b",))


def test_interrupted_stage_goes_on_from_its_checkpoint_and_not_from_its_last_step() -> None:
    checkpoint = CheckpointView(step=50, path="x", bytes=1)
    stopped = replace(B, state=StageState.INTERRUPTED, checkpoint=checkpoint)

    assert foresee(DONE, stopped)[0]["b"] == (100.0, "last steps")


def test_stage_that_takes_longer_than_expected_has_no_eta() -> None:
    late = replace(C, state=StageState.RUNNING, wall_clock_s=301.0)

    assert foresee(DONE, replace(B, state=StageState.DONE), late)[0]["c"] == (None, None)


def row(stage: str, nodes: int = 4) -> StageRun:
    return StageRun(
        stage=stage,
        position=0,
        kind=StageKind.TRAIN,
        needs=[],
        state=StageState.WAITING,
        nodes=nodes,
        gpus_per_node=8,
        tasks_per_node=8,
        resumable=True,
        cluster="slurm",
        updated_at=0.0,
    )


def text(**train: object) -> str:
    """A frozen file that trains `c` and `d` so."""
    stage = {"train": {"lr": 1e-4, "epochs": 3, "max_steps": None, **train}}
    stages = {name: stage | {"expect": {"total": "6h"}} for name in ("c", "d")}
    return json.dumps({"model": {"preset": "tiny"}, "stages": stages})


def test_earlier_runs_on_as_many_gpus_say_how_long_a_stage_takes() -> None:
    earlier = [Earlier("c", gpus, s, text()) for gpus, s in ((32, 10.0), (16, 99.0), (32, 30.0))]

    found = expected([row("c"), row("d")], earlier, text())

    assert found == {"c": Expectation(20.0, "2 earlier runs"), "d": Expectation(21600, "expect")}
    assert expected([row("c", nodes=1)], earlier, text())["c"] == Expectation(21600, "expect")


@pytest.mark.parametrize(
    ("then", "basis"),
    [
        (text(lr=9.0, seed=7), "1 earlier run"),
        (text(max_steps=20), "expect"),
        (text(epochs=1), "expect"),
        (text(data=[{"annotations": "other.json"}]), "expect"),
        (text().replace("tiny", "small"), "expect"),
        (text().replace("train", "evaluate"), "expect"),
        ("name: demo", "expect"),
        ("stages: [", "expect"),
    ],
)
def test_run_of_another_work_says_nothing_about_how_long_a_stage_takes(
    then: str, basis: str
) -> None:
    assert expected([row("c")], [Earlier("c", 32, 60.0, then)], text())["c"].basis == basis


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("stages: {a: {expect: {epoch: 2h}, train: {epochs: 3}}}", {"a": 21600}),
        ("stages: {a: {expect: {total: 90m}}, b: {}}", {"a": 5400}),
        ("stages: {a: {expect: {total: soon}}}", {}),
        ("stages: [", {}),
        ("", {}),
    ],
)
def test_expectations_are_read_from_a_frozen_file(text: str, found: dict[str, float]) -> None:
    assert read_expect(text) == found


def attempt(**known: object) -> Attempt:
    key = {"submission_id": 1, "stage_run_id": 1, "cluster": "slurm", "slurm_id": "1"}
    return Attempt(**key, restart=0, state="RUNNING", **known)


def test_goodput_is_surviving_steps_by_allocated_time() -> None:
    ended = attempt(
        wall_clock_s=100.0, last_step=40, work_s=80.0, steps_gained=30, steps_lost=10, ended_at=1.0
    )
    runs = attempt(wall_clock_s=100.0, work_s=60.0, first_step=30, last_step=90)

    work = work_of([ended, runs])

    assert work == Work(allocated_s=200.0, useful_s=120.0, lost_s=20.0)
    assert work.goodput == 0.6


def test_attempt_that_ended_before_a_step_counts_as_allocated() -> None:
    told = attempt(wall_clock_s=100.0, work_s=100.0, last_step=50, steps_gained=50, ended_at=1.0)
    silent = attempt(wall_clock_s=60.0, ended_at=2.0)

    assert work_of([told, silent]) == Work(160.0, 100.0, 0.0)


def test_stage_that_tells_no_step_time_has_no_goodput_and_spoils_no_other() -> None:
    silent = work_of([attempt(wall_clock_s=100.0, steps_gained=3, ended_at=1.0)])

    assert silent.goodput is None
    assert in_all([silent, Work(10.0, 5.0, 0.0)]).goodput == 0.5
