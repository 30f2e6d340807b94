"""Who may act: one launcher at a time, and no right outlives an interruption."""

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from db.ledger import Ledger
from launcher import acting as acting_module
from launcher.acting import BusyError, acting
from tests.launcher.worlds import clock_of

SEVERAL = 15
_CALLED = {
    "acting",
    "_take",
    "_is_over",
    "lease_name",
    "write",
    "take",
    "check",
    "give_back",
    "__exit__",
}
"""What is ours: the clean-up of a row may come anywhere, too."""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path}/launcher.db", create=True)


@contextmanager
def ctrl_c_after_call(number: int) -> Iterator[None]:
    """Raises KeyboardInterrupt as the so-many-th call made in launcher/acting.py returns.

    After calls is where Python looks whether a signal has come.
    """
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        caller = frame if event == "c_return" else frame.f_back
        if event not in ("return", "c_return") or caller is None:
            return
        if acting_module.__file__ != caller.f_code.co_filename:
            return
        if frame.f_code.co_name not in _CALLED:
            return
        calls += 1
        if calls == number:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_interrupted_anywhere_this_process_may_act_again(ledger: Ledger) -> None:
    """As when the second Ctrl-C of a person who follows a run comes while the first is obeyed."""
    for number in itertools.count(1):
        try:
            with (
                ctrl_c_after_call(number),
                acting(ledger, clock_of(1000.0)) as lease,
                lease.write(),
            ):
                pass
        except KeyboardInterrupt:
            pass
        else:
            break
        with acting(ledger, clock_of(1000.0)):
            pass
    assert number > SEVERAL


def test_while_somebody_acts_nobody_else_does(ledger: Ledger) -> None:
    with (
        acting(ledger, clock_of(1000.0)),
        pytest.raises(BusyError, match="try again when it has ended"),
        acting(ledger, clock_of(1001.0)),
    ):
        pass


def test_who_waits_acts_as_soon_as_the_other_has_ended(ledger: Ledger) -> None:
    ends = threading.Event()
    begun = threading.Event()

    def act() -> None:
        with acting(ledger, clock_of(1000.0)):
            begun.set()
            ends.wait(60)

    other = threading.Thread(target=act)
    other.start()
    begun.wait(60)
    threading.Timer(0.5, ends.set).start()
    with acting(ledger, clock_of(1000.0), wait_s=60):
        assert ends.is_set()
    other.join()
