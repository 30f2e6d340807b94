"""Stopping on a signal, with real processes and real signals."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.stop import POLL_S, SIGNALS, StopFlag

RANK = """
import os, sys, time
from pathlib import Path
import torch.distributed as dist
from jobs.stop import StopFlag

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
flag = StopFlag()
flag.listen()
step = 0
while not flag.agreed():
    step += 1
    (folder / f"{rank}.step").write_text(str(step))
    time.sleep(0.005)
print(step, flag.signal_name, flag.agreed(), flush=True)
(folder / f"{rank}.agreed").touch()
while not (folder / "leave").exists():
    time.sleep(0.005)
os._exit(75)
"""


@pytest.fixture
def flag() -> Iterator[StopFlag]:
    before = [signal.getsignal(number) for number in SIGNALS]
    made = StopFlag()
    yield made
    made.stay()
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGUSR2, "SIGUSR2")]
)
def test_signal_sets_the_flag_and_does_nothing_else(flag, number, name):
    flag.listen()
    assert flag.signal_name is None

    os.kill(os.getpid(), number)

    assert flag.signal_name == name


def test_signal_before_the_first_step_is_acted_on_in_another_thread(flag):
    acted = threading.Event()
    flag.listen()
    flag.leave_early_with(acted.set)

    assert not acted.is_set()
    os.kill(os.getpid(), signal.SIGTERM)

    assert acted.wait(timeout=180)


def test_signal_that_came_before_anybody_was_to_act_on_it_is_acted_on(flag):
    acted = threading.Event()
    flag.listen()
    os.kill(os.getpid(), signal.SIGUSR2)

    flag.leave_early_with(acted.set)

    assert acted.wait(timeout=180)


def test_signal_is_acted_on_again_until_the_process_stays(flag):
    calls = threading.Semaphore(0)
    flag.listen()
    flag.leave_early_with(calls.release)
    os.kill(os.getpid(), signal.SIGTERM)

    again = [calls.acquire(timeout=180) for _ in range(2)]
    flag.stay()
    calls.acquire(blocking=False)  # of a call that was under way

    assert again == [True, True]
    assert not calls.acquire(timeout=3 * POLL_S)
    assert not flag.may_leave_early


def test_signal_after_the_first_step_only_sets_the_flag(flag):
    acted = threading.Event()
    flag.listen()
    flag.leave_early_with(acted.set)
    flag.stay()

    os.kill(os.getpid(), signal.SIGTERM)

    assert flag.signal_name == "SIGTERM"
    assert not acted.wait(timeout=2 * POLL_S)


WAITING = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
import torch.distributed as dist
from jobs.stop import StopFlag

flag = StopFlag()
flag.listen()
flag.leave_early_with(lambda: os._exit(75))
store = dist.TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
Path(sys.argv[1]).touch()
store.wait(["the other rank"], timedelta(seconds=300))
"""


def test_rank_that_waits_in_c_for_another_leaves_at_once(tmp_path):
    listening = tmp_path / "listening"
    with subprocess.Popen([sys.executable, "-c", WAITING, str(listening)]) as rank:
        wait_for(listening)
        began = time.monotonic()

        rank.send_signal(signal.SIGTERM)

        assert rank.wait(timeout=180) == 75
        assert time.monotonic() - began < 10


@dataclass(frozen=True)
class Pair:
    """How two ranks ended, only the second of which was asked to stop."""

    said: list[str]
    codes: list[int]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        wait_for(folder / "0.step", folder / "1.step")
        ranks[1].send_signal(signal.SIGTERM)
        wait_for(folder / "0.agreed", folder / "1.agreed")
        for rank in ranks:
            rank.send_signal(signal.SIGTERM)
            rank.send_signal(signal.SIGUSR2)
        time.sleep(0.1)
        (folder / "leave").touch()
        said = [rank.communicate(timeout=180)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return Pair(said, [rank.returncode for rank in ranks])


def wait_for(*paths: Path) -> None:
    """Waits for files."""
    ends_at = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < ends_at, f"none of {paths}"
        time.sleep(0.005)


def test_ranks_agree_on_the_step_when_only_one_got_the_signal(pair):
    step = pair.said[0].split()[0]

    assert int(step) > 0
    assert pair.said == [f"{step} None True\n", f"{step} SIGTERM True\n"]


def test_signals_after_the_agreement_do_not_change_the_exit(pair):
    assert pair.codes == [75, 75]


def test_signal_hurries_what_waits_and_so_does_one_that_came_before(flag):
    hurried = []
    flag.listen()
    flag.hurry_with(lambda: hurried.append("waiting"))
    assert hurried == []

    os.kill(os.getpid(), signal.SIGTERM)
    flag.hurry_with(lambda: hurried.append("late"))

    assert hurried == ["waiting", "late"]
