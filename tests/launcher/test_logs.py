"""`launcher logs`: ends of large files, the first fault, and following across attempts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.ledger import Ledger
from db.queries import stages_of
from db.schema import StageRun, Submission
from db.states import StageState
from jobs.contract.events import EventWriter
from jobs.contract.paths import AttemptKey, StageFolder
from launcher.cli import main
from launcher.cluster.base import JobRow, job_name
from launcher.logs.fault import first_fault, last_traceback
from launcher.logs.follow import Following, Line, Turn
from launcher.logs.tail import Tail, last_lines
from launcher.reconcile.refresh import read_run, refresh_run
from launcher.submit import NewRun
from tests.launcher.cluster.programs import only_programs
from tests.launcher.paper import Paper
from tests.launcher.worlds import make_pipeline, open_ledger, submit_run

FAULT = (
    'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    1 / 0\n'
    "ZeroDivisionError: division by zero\n"
)
FIRST, SECOND = AttemptKey("101", 0), AttemptKey("101", 1)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NewRun, Paper, Ledger]:
    """A run of which nothing has begun; Slurm is on paper."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path / "runs"))
    pipeline = make_pipeline(tmp_path)
    paper, ledger = Paper(), open_ledger(pipeline)
    new = submit_run(pipeline, paper, 1000.0)
    only_programs(monkeypatch, tmp_path / "bin")  # no Slurm answers the command
    return new, paper, ledger


def write(folder: StageFolder, key: AttemptKey, rank: int, text: str) -> Path:
    log = folder.log_file(key, rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(text)
    return log


def queue(new: NewRun, paper: Paper, ledger: Ledger, **fields: object) -> None:
    """Lets the ledger see the job of stage `second` so."""
    name = job_name("second", new.tokens["second"])
    paper.queue = [JobRow(slurm_id="101", name=name, source="squeue", **fields)]
    refresh_run(ledger, new.id, lambda _: paper, clock=lambda: 2000.0, digest_bytes=1e9)


def test_last_lines_of_a_large_file_are_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(20_000_000_000)  # a hole: reading it whole would take minutes
        file.seek(0, 2)
        file.write(b"\n" + b"\n".join(b"line %d" % number for number in range(50_000)) + b"\n")

    assert last_lines(path, 2) == ["line 49998", "line 49999"]
    assert len(last_lines(path, 30_000)) == 30_000


@pytest.mark.parametrize(
    ("text", "count", "lines"),
    [("", 3, []), ("a", 3, ["a"]), ("a\nb\n", 1, ["b"]), ("a\nb", 0, []), ("a\n\n", 2, ["a", ""])],
)
def test_last_lines_of_a_small_file(
    tmp_path: Path, text: str, count: int, lines: list[str]
) -> None:
    (tmp_path / "log").write_text(text)

    assert last_lines(tmp_path / "log", count) == lines


def test_tail_gives_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() == []

    path.write_text("one\ntw")
    first = tail.read()
    path.write_text("one\ntwo\nthr")

    assert (first, tail.read(), tail.read(whole=True)) == (["one"], ["two"], ["thr"])


def test_traceback_comes_with_its_causes_and_without_what_follows(tmp_path: Path) -> None:
    chain = f"{FAULT}\nThe above exception was the direct cause of the following exception:\n\n"
    path = tmp_path / "log"
    path.write_text(f"{FAULT}went on\n{chain}{FAULT}stage2: failed\n")

    begins_at, lines = last_traceback(path)

    assert "\n".join(lines) + "\n" == chain + FAULT
    assert begins_at == len(f"{FAULT}went on\n")


def test_rank_that_failed_first_is_found_by_its_event_file(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    for rank, lost in ((0, True), (3, False)):
        events = EventWriter(folder.events_file(FIRST, rank))
        events.write("exit", outcome="failed", code=1, message=f"m{rank}", lost_peer=lost)
        events.close()
        write(folder, FIRST, rank, FAULT)

    fault = first_fault(folder, FIRST)

    assert fault is not None
    assert (fault.rank, fault.message, fault.traceback[-1]) == (
        3,
        "rank 3: m3",
        "ZeroDivisionError: division by zero",
    )


def test_oldest_log_with_a_traceback_counts_where_no_rank_told(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    for rank, at in ((0, 30.0), (1, 20.0), (2, 10.0)):
        log = write(folder, FIRST, rank, "killed\n" if rank == 2 else FAULT)
        os.utime(log, (at, at))

    fault = first_fault(folder, FIRST)

    assert fault is not None
    assert (fault.rank, fault.message) == (1, "")


def test_attempt_that_stopped_has_no_fault(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    events = EventWriter(folder.events_file(FIRST))
    events.write("exit", outcome="stopped", code=75, message="")
    events.close()
    write(folder, FIRST, 0, FAULT)

    assert first_fault(folder, FIRST) is None


def test_failed_attempt_shows_its_traceback_before_the_lines_that_led_to_it(
    world: tuple[NewRun, Paper, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, paper, ledger = world
    queue(new, paper, ledger, restart=0, word="RUNNING", started_at=1100.0)
    folder = new.folder.stage("second")
    log = write(folder, FIRST, 0, f"loading\nstep 1\nstep 2\n{FAULT}")

    code = main(["logs", "second", "-n", "2"])

    said = capsys.readouterr()
    assert (code, said.out) == (0, f"{FAULT}step 1\nstep 2\n")
    assert said.err.splitlines()[0] == (
        f"second, attempt 1, job 101.0: rank 0 failed first; its log: {log}"
    )


def test_newest_attempt_with_a_log_is_shown_while_the_next_one_waits(
    world: tuple[NewRun, Paper, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, paper, ledger = world
    queue(new, paper, ledger, restart=0, word="RUNNING", started_at=1100.0)
    queue(new, paper, ledger, restart=1, word="PENDING", reason="Priority", queued_at=1900.0)
    write(new.folder.stage("second"), FIRST, 0, "step 1\n")

    code = main(["logs", "second"])

    said = capsys.readouterr()
    assert (code, said.out) == (0, "step 1\n")
    assert said.err.startswith(
        "attempt 2 has no log yet: job 101 waits: jobs of higher priority go first (Priority)\n"
    )


def test_missing_log_says_why_and_where_the_batch_script_speaks(
    world: tuple[NewRun, Paper, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, paper, ledger = world
    queue(new, paper, ledger, restart=0, word="PENDING", reason="Resources", queued_at=1000.0)
    caught = new.folder.stage("second").submitit / new.tokens["second"]
    caught.mkdir(parents=True)
    (caught / "101_0_log.err").write_text("module: command not found\n")

    code = main(["logs", "second"])

    said = capsys.readouterr()
    assert (code, said.out) == (1, "module: command not found\n")
    assert "second: no log: job 101 waits" in said.err
    assert f"what the batch script said: {caught}/101_0_log.err" in said.err


def test_reason_of_an_older_attempt_is_its_own(
    world: tuple[NewRun, Paper, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, paper, ledger = world
    queue(new, paper, ledger, restart=0, word="RUNNING", started_at=1100.0)
    queue(new, paper, ledger, restart=1, word="PENDING", reason="Priority", queued_at=1900.0)

    code = main(["logs", "second", "--attempt", "1"])

    told = capsys.readouterr().err
    assert (code, "waits" in told) == (1, False)
    assert "second, attempt 1, job 101.0: no log: job 101 ended before its ranks began" in told


def test_batch_script_of_an_older_job_is_the_one_that_is_shown(
    world: tuple[NewRun, Paper, Ledger], capsys: pytest.CaptureFixture[str]
) -> None:
    new, paper, ledger = world
    queue(new, paper, ledger, restart=0, word="RUNNING", started_at=1100.0)
    with ledger.write() as session:
        stage = next(row for row in stages_of(session, new.id) if row.stage == "second")
        again = Submission(token="t2", fence=2, spec={}, parents=[], created_at=3.0, slurm_id="7")
        again.stage_run_id = stage.id
        session.add(again)
    for token, said in ((new.tokens["second"], "older\n"), ("t2", "newer\n")):
        caught = new.folder.stage("second").submitit / token
        caught.mkdir(parents=True)
        (caught / "1_0_log.err").write_text(said)

    main(["logs", "second", "--attempt", "1"])
    older = capsys.readouterr().out
    main(["logs", "second"])

    assert (older, capsys.readouterr().out) == ("older\n", "newer\n")


@pytest.mark.usefixtures("world")
def test_wrong_attempt_and_rank_are_faults_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["logs", "second", "--attempt", "7"]) == 2
    assert main(["logs", "nothing"]) == 2
    assert main(["logs", "-f", "second", "--attempt", "1"]) == 2

    assert "known: first, second, middle, third" in capsys.readouterr().err


def test_following_goes_on_into_the_next_attempt_and_ends_with_the_stage(
    world: tuple[NewRun, Paper, Ledger],
) -> None:
    new, paper, ledger = world
    folder, acts = new.folder.stage("second"), iter(range(10))

    def read() -> StageRun:
        return next(r for r in read_run(ledger, new.id).stages if r.stage == "second")

    def time_passes(_: float) -> None:
        act = next(acts)
        if act == 0:
            queue(new, paper, ledger, restart=0, word="RUNNING", started_at=1100.0)
            write(folder, FIRST, 0, "one\n")
        if act == 1:
            write(folder, FIRST, 0, "two")
            write(folder, SECOND, 0, "three\n")
        if act == 2:
            write(folder, SECOND, 0, "four\n")
            with ledger.write() as session:
                session.get_one(StageRun, read().id).state = StageState.DONE
                for row in read().attempts:
                    session.merge(row).ended_at = 3000.0

    def told() -> Iterator[str]:
        following = Following(read, read, rank=0, lines=5, clock=lambda: 0.0, sleep=time_passes)
        for each in following.follow():
            if isinstance(each, Turn):
                yield f"-- {each.attempt.number}"
            else:
                yield each.text if isinstance(each, Line) else f"waits: {each.why}"

    assert list(told()) == ["waits: job 101 waits", "-- 1", "one", "two", "-- 2", "three", "four"]
