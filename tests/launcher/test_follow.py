"""A run on this machine: its stages in order, Ctrl-C, and going on afterwards."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest

from db.states import RunState
from jobs.contract.paths import RunFolder
from launcher.cluster import LocalCluster
from launcher.ends import is_done
from launcher.follow import Follower, only_driver
from launcher.pipeline import Pipeline
from launcher.view import StageView
from tests.launcher.pretend import Pretending
from tests.launcher.worlds import begin_run, make_pipeline, open_ledger, stage_rows, states


class Quiet:
    """Shows nothing; remembers the states it was shown."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, views: Sequence[StageView], *, at: float) -> None:
        assert at > 0
        self.shown.append({view.stage: str(view.state) for view in views})


def start(pipeline: Pipeline, cluster: Pretending) -> Follower:
    """A new run and who follows it."""
    return go_on(pipeline, cluster, begin_run(pipeline, cluster).id)


def go_on(pipeline: Pipeline, cluster: Pretending, run_id: str) -> Follower:
    return Follower(open_ledger(pipeline), run_id, cluster, Quiet(), lambda _: None, every_s=0.05)


def when(condition: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Acts from another thread as soon as the condition holds."""

    def wait() -> None:
        give_up = time.monotonic() + 60
        while not condition() and time.monotonic() < give_up:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def interrupt() -> None:
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def test_stages_run_in_order_until_all_are_done(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    follower = start(pipeline, Pretending(LocalCluster()))

    seen = follower.drive()

    assert is_done(seen.stages)
    ends = [row.attempts[0].ended_at for row in seen.stages[1:]]
    starts = [row.attempts[0].started_at for row in seen.stages[2:]]
    assert all(end <= start + 0.05 for end, start in zip(ends, starts, strict=False))  # type: ignore[operator]
    assert seen.stages[0].run.state is RunState.DONE


def test_done_stage_has_its_figures_in_the_ledger(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    start(pipeline, Pretending(LocalCluster(), steps=4)).drive()

    row = stage_rows(open_ledger(pipeline))["second"]

    (attempt,) = row.attempts
    assert (attempt.first_step, attempt.last_step, attempt.steps_lost, attempt.exit_kind) == (
        0,
        4,
        0,
        "done",
    )
    assert attempt.wall_clock_s is not None
    assert 0 < attempt.wall_clock_s < 30
    assert [(c.step, c.final, c.verified_at is not None) for c in row.checkpoints] == [
        (4, True, True)
    ]


def test_failed_stage_ends_the_run_and_its_children_never_start(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    follower = start(pipeline, Pretending(LocalCluster(), fail="middle"))

    seen = follower.drive()

    assert not is_done(seen.stages)
    assert states(open_ledger(pipeline)) == {
        "first": "reused",
        "second": "done",
        "middle": "failed",
        "third": "waiting",
    }
    assert "too hot" in seen.learned["middle"].why


def test_ctrl_c_lets_the_running_stage_save_and_watch_goes_on_from_there(
    tmp_path: Path,
) -> None:
    pipeline = make_pipeline(tmp_path)
    follower = start(pipeline, Pretending(LocalCluster(), steps=1000, step_s=0.05))
    ledger = open_ledger(pipeline)

    def has_begun() -> bool:
        attempts = stage_rows(ledger)["second"].attempts
        return bool(attempts) and bool(attempts[0].last_step)

    thread = when(has_begun, interrupt)
    with pytest.raises(KeyboardInterrupt):
        follower.drive()
    thread.join()

    assert states(ledger)["second"] == "interrupted"
    saved = stage_rows(ledger)["second"].checkpoints[0].step
    assert saved > 0

    quicker = Pretending(LocalCluster(), steps=saved + 2)
    assert is_done(go_on(pipeline, quicker, follower.run_id).drive().stages)
    attempts = stage_rows(ledger)["second"].attempts
    assert [(a.first_step, a.last_step, a.steps_lost) for a in attempts] == [
        (0, saved, 0),
        (saved, saved + 2, 0),
    ]


def test_ctrl_c_in_the_middle_of_a_pass_breaks_nothing(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    follower = start(pipeline, Pretending(LocalCluster(), steps=1000, step_s=0.05))
    ledger = open_ledger(pipeline)
    pressed: list[bool] = []

    def clock() -> float:  # asked while the pass holds the right to act
        if not pressed and stage_rows(ledger)["second"].attempts:
            pressed.append(True)
            interrupt()
        return time.time()

    follower.clock = clock
    with pytest.raises(KeyboardInterrupt):
        follower.drive()

    assert pressed
    assert states(ledger)["second"] == "interrupted"


def test_ctrl_c_before_the_stage_can_hear_it_interrupts_it_all_the_same(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    follower = start(pipeline, Pretending(LocalCluster(), steps=1000))
    thread = when(lambda: states(open_ledger(pipeline))["second"] == "pending", interrupt)

    with pytest.raises(KeyboardInterrupt):
        follower.drive()
    thread.join()

    assert states(open_ledger(pipeline))["second"] == "interrupted"


def test_each_new_submission_has_a_new_fence_until_the_budget_is_spent(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)

    start(pipeline, Pretending(LocalCluster(), die="second")).drive()

    row = stage_rows(open_ledger(pipeline))["second"]
    fence = RunFolder(Path(row.run.folder)).stage("second").fence
    assert [(s.fence, s.rule) for s in row.submissions] == [
        (1, None),
        (2, "killed"),
        (3, "killed"),
    ]
    assert fence.read_text() == "3\n"
    assert (str(row.state), row.rule) == ("held", "no-progress")


def test_stage_that_vanished_without_a_word_has_lost_its_steps(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    start(pipeline, Pretending(LocalCluster(), die="second")).drive()

    attempts = stage_rows(open_ledger(pipeline))["second"].attempts

    assert [(a.cause, a.last_step, a.steps_lost) for a in attempts] == [("killed", 1, 1)] * 3


def test_attempt_that_did_its_stage_on_this_machine_ended_well(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path)
    start(pipeline, Pretending(LocalCluster())).drive()

    attempts = stage_rows(open_ledger(pipeline))["second"].attempts

    assert [(a.cause, a.exit_kind) for a in attempts] == [(None, "done")]


def test_second_ctrl_c_leaves_the_stage_running_and_another_launcher_takes_over(
    tmp_path: Path,
) -> None:
    pipeline = make_pipeline(tmp_path)
    ledger = open_ledger(pipeline)
    deaf = Pretending(LocalCluster(), steps=40, step_s=0.1, deaf=True)
    follower = start(pipeline, deaf)
    threads: list[threading.Thread] = []

    def told_to_stop(line: str) -> None:
        if not line.startswith("stopping"):
            return
        threads.append(when(lambda: True, interrupt))

    follower.say = told_to_stop
    threads.append(when(lambda: bool(stage_rows(ledger)["second"].attempts), interrupt))
    with pytest.raises(KeyboardInterrupt):
        follower.drive()
    for thread in threads:
        thread.join()
    assert states(ledger)["second"] == "running"

    seen = go_on(pipeline, Pretending(LocalCluster()), follower.run_id).drive()

    assert is_done(seen.stages)
    assert len(seen.stages[1].attempts) == 1
    deaf.live()  # lets it take note of the end, so that Python does not warn of a lost process


def test_only_one_launcher_drives_a_run(tmp_path: Path) -> None:
    with only_driver(RunFolder(tmp_path)) as first, only_driver(RunFolder(tmp_path)) as second:
        assert (first, second) == (True, False)
    with only_driver(RunFolder(tmp_path)) as third:
        assert third
