"""What a save that has ended changes of how safe a run is."""

from pathlib import Path

import pytest

from jobs.checkpoint.progress import Progress
from jobs.checkpoint.saver import Saved, Snapshot
from jobs.checkpoint.standing import LONGEST_RETRY_S, RETRY_S, Standing

MAX_UNSAVED = 36_000.0


def saved(step: int, *, final: bool = False, **fields) -> Saved:
    snapshot = Snapshot(progress=Progress(step=step), parent=None, final=final)
    return Saved(snapshot=snapshot, path=Path(f"step-{step}"), **fields)


def failed(standing: Standing, now: float) -> Standing:
    return standing.after(saved(8, error="full"), now=now, max_unsaved=MAX_UNSAVED)


def test_save_makes_its_step_safe_since_the_moment_of_its_copy():
    before = Standing(4, since=10.0, failures=3, retry_at=50.0)

    after = before.after(saved(8, began=60.0), now=99.0, max_unsaved=MAX_UNSAVED)

    assert after == Standing(8, since=60.0)


def test_failure_leaves_what_was_safe_and_waits_longer_each_time():
    standing, waits = Standing(4, since=10.0), []
    for now in range(100, 2_000_000, 1000):
        standing = failed(standing, now)
        waits.append(standing.retry_at - now)

    assert (standing.step, standing.since) == (4, 10.0)
    assert waits[:6] == [RETRY_S, 60, 120, 240, 480, LONGEST_RETRY_S]
    assert set(waits[6:]) == {LONGEST_RETRY_S}


def test_retry_comes_well_before_too_much_is_unsaved():
    assert Standing().retry_s(max_unsaved=40.0) == 10.0


@pytest.mark.parametrize(
    ("step", "final", "holds"),
    [(7, False, True), (8, False, True), (8, True, False), (9, False, False)],
)
def test_final_state_is_safe_only_in_a_final_checkpoint(step, final, holds):
    assert Standing(8).holds(step, final=final) == holds
