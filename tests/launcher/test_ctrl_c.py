"""Ctrl-C comes through between two acts, and at once while nothing is done."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from launcher.ctrl_c import PATIENCE, CtrlC

ROOT = Path(__file__).parents[2]


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_press_within_an_act_waits_for_its_end() -> None:
    done = []
    with CtrlC() as ctrl_c:
        press()
        done.append("act")
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.rest(60)
    assert done == ["act"]
    assert time.monotonic() - began < 30


def test_press_while_resting_comes_through_at_once() -> None:
    with CtrlC() as ctrl_c:
        threading.Timer(0.3, press).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.rest(60)
    assert time.monotonic() - began < 30


def test_each_press_is_obeyed_once() -> None:
    with CtrlC() as ctrl_c:
        press()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.rest(60)
        ctrl_c.rest(0.01)
        press()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.rest(60)


def test_act_that_hangs_is_broken_by_pressing_again_and_again() -> None:
    with CtrlC():
        for _ in range(PATIENCE - 1):
            press()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    with CtrlC():
        press()
    with pytest.raises(KeyboardInterrupt):
        press()


DEAF = """
import os, signal
from launcher.ctrl_c import CtrlC
signal.signal(signal.SIGINT, signal.SIG_IGN)
with CtrlC() as ctrl_c:
    os.kill(os.getpid(), signal.SIGINT)
    ctrl_c.rest(0.01)
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""


def test_background_job_of_a_shell_stays_deaf() -> None:
    done = subprocess.run([sys.executable, "-c", DEAF], cwd=ROOT, check=False, timeout=180)

    assert done.returncode == 0
