"""What is read from a foreign program's words: steps, and why it failed."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.command.failure import failure
from jobs.command.output import Tail
from jobs.command.steps import Steps
from jobs.command.stopping import Stopping
from jobs.contract.command import Progress, Stop
from jobs.contract.events import EventWriter, read_events
from jobs.contract.paths import AttemptKey
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from jobs.distributed import Place
from jobs.faults import fault_of
from jobs.job import Job
from jobs.stop import StopFlag

TORCHRUN = """\
[rank1]: Traceback (most recent call last):
[rank1]:   File "/work/train.py", line 21, in <module>
[rank1]:     torch.ones(4, 2) @ weights
[rank1]: RuntimeError: size mismatch, got input (4), mat (4x2), vec (4)
[rank0]: Traceback (most recent call last):
[rank0]: torch.distributed.DistBackendError: NCCL error: ncclRemoteError: remote process exited
Traceback (most recent call last):
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
  time      : 2026-11-24_11:51:20
  exitcode  : 1 (pid: 9331)
============================================================
""".splitlines()


@pytest.mark.parametrize(
    ("code", "last", "said", "fault"),
    [
        (1, ["Traceback", "KeyError: 'a'"], "KeyError: 'a' (x.py ended with 1)", "deterministic"),
        (1, ["AssertionError"], "AssertionError: (x.py ended with 1)", ""),
        (
            1,
            ["ModuleNotFoundError: No module named 'einops'"],
            "ModuleNotFoundError: No module named 'einops' (x.py ended with 1)",
            "deterministic",
        ),
        (
            1,
            ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."],
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB. (x.py ended with 1)",
            "out_of_memory",
        ),
        (
            1,
            TORCHRUN,
            "RuntimeError: size mismatch, got input (4), mat (4x2), vec (4) (x.py ended with 1)",
            "deterministic",
        ),
        (
            1,
            ["UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff"],
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff (x.py ended with 1)",
            "",
        ),
        (2, ["usage: x.py", "x.py: error: --lr?"], "ProgramError: x.py ended with 2; it said: "
            "usage: x.py | x.py: error: --lr?", ""),
        (-11, [], "ProgramError: x.py was ended by SIGSEGV", ""),
    ],
)  # fmt: skip
def test_failure_is_told_as_the_program_told_it(code, last, said, fault):
    error = failure("x.py", code, last, memory_ran_out=False)

    assert (f"{type(error).__name__}: {error}", fault_of(error).kind) == (said, fault)


def test_only_a_rank_that_lost_another_is_told_so():
    lost = ["RuntimeError: [gloo/pair.cc:1] Connection closed by peer [127.0.0.1]:1"]

    assert fault_of(failure("x.py", 1, lost, memory_ran_out=False)).lost_peer
    assert not fault_of(failure("x.py", 1, [*TORCHRUN, *lost], memory_ran_out=False)).lost_peer


@pytest.mark.parametrize(("ran_out", "fault"), [(True, "out_of_memory"), (False, "")])
def test_killed_program_ran_out_of_memory_only_if_the_kernel_says_so(ran_out, fault):
    error = failure("x.py", -9, [], memory_ran_out=ran_out)

    assert fault_of(error).kind == fault


@dataclass
class Reading:
    """A rank 0 that reads a program's words; without a program."""

    job: Job
    steps: Steps
    path: Path

    def events(self):
        return [(event.kind, event.fields) for event in read_events(self.path)]


@pytest.fixture
def reading(run):
    """Makes such a rank of what is to be read and where it goes on from."""
    folder, key = run.stage("s"), AttemptKey("1", 0)
    path = folder.events_file(key)
    with closing(EventWriter(path)) as events:
        spec = StageSpec(run_id="r", stage="s", model={"preset": ""})
        place = Place(key, 0, 0, 1, ("n1",))
        job = Job(StageTask(run.root, "s", 1, "t"), spec, run, place, StopFlag(), events)

        def make(progress, first_step=0):
            return Reading(job, Steps(job, Progress.model_validate(progress), first_step), path)

        yield make


BAR = "{}%|##   | {}/{} [00:01<00:09, 9.3it/s]"


def test_steps_of_the_trainer_are_read_from_its_bar_and_its_log(reading):
    told = reading({"match": "huggingface"})

    told.steps.read(
        [
            "Map: " + BAR.format(50, 500, 1000),
            "  " + BAR.format(0, 0, 40),
            " " + BAR.format(50, 20, 40),
            "{'loss': '1.25', 'grad_norm': '2.1', 'learning_rate': '5e-06', 'epoch': '1.5'}",
            " " + BAR.format(90, 9, 10),
        ]
    )
    told.steps.tell()

    assert told.events() == [
        ("started", {"resume_step": 0, "total_steps": 40}),
        ("step", {"step": 20, "loss": 1.25, "lr": 5e-06, "epoch": 1}),
    ]
    assert told.job.reached.step == 20


def test_log_line_of_an_older_trainer_is_read_as_well(reading):
    told = reading({"match": "huggingface"})

    told.steps.read([BAR.format(5, 2, 40), "{'loss': 1.25, 'learning_rate': 5e-06, 'epoch': 0.05}"])
    told.steps.tell()

    assert told.events()[1] == ("step", {"step": 2, "loss": 1.25, "lr": 5e-06, "epoch": 0})


def test_steps_before_the_one_it_goes_on_from_are_passed_over(reading):
    told = reading({"match": r"at (?P<step>\d+)"}, first_step=30)

    told.steps.read(["at 10", "at 29"])
    told.steps.tell()

    assert told.events() == [("started", {"resume_step": 30, "total_steps": None})]


def test_program_of_whose_output_nothing_is_expected_has_started_at_once(reading):
    told = reading({"total_steps": 90}, first_step=30)

    assert told.events() == [("started", {"resume_step": 30, "total_steps": 90})]


def test_tail_gives_what_has_come_since_line_by_line(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    with closing(Tail(log)) as tail, log.open("a") as file:
        file.write("one\n 10%\r 20%\rpart")
        file.flush()
        first = list(tail.lines())
        file.write("ner\n")
        file.flush()

        second = list(tail.lines())

        assert (first, second) == (["one", " 10%", " 20%"], ["partner"])
        assert tail.last == ["one", " 10%", " 20%", "partner"]


def stopping(grace_s=40.0):
    return Stopping(Stop(grace_s=grace_s), signal_lead_s=120)


def test_program_is_killed_shortly_before_its_time_is_over():
    told = stopping()

    assert told.kill_at is None
    assert told.note("SIGTERM", 1000)
    assert (told.kill_at, told.ends_at) == (1035, 1040)


def test_program_has_the_lead_before_the_time_limit():
    told = stopping()

    told.note("SIGUSR2", 1000)

    assert told.ends_at == 1120


def test_preemption_shortens_the_time_before_the_time_limit():
    told = stopping()
    told.note("SIGUSR2", 1000)

    is_first = told.note("SIGTERM", 1010)

    assert (is_first, told.ends_at) == (False, 1050)


def test_same_signal_again_gives_no_more_time():
    told = stopping()
    told.note("SIGTERM", 1000)

    told.note("SIGTERM", 1030)

    assert told.ends_at == 1040
