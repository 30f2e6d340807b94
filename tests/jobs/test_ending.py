"""How an attempt tells its end, and what it does then."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from jobs.contract.events import EventWriter, read_events
from jobs.contract.files import write_atomic
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.task import StageTask
from jobs.distributed import Place
from jobs.job import Job, RefusedError, StoppedError
from jobs.stop import StopFlag
from jobs.task import run_attempt
from tests.jobs.paper import paper_job


@dataclass
class Alone:
    """An attempt of one rank in this process."""

    run: RunFolder
    rank: int = 0

    def __call__(self, program: Callable[[Job], None]) -> tuple[int, dict[str, object]]:
        """Runs the program; gives the exit code and the fields of the exit event."""
        key, folder = AttemptKey("token", 0), self.run.stage("s1")
        place = Place(key, self.rank, self.rank, 1, ("n1", "n2"), host="n2")
        task = StageTask(self.run.root, "s1", 1, "token")
        events = EventWriter(folder.events_file(key)) if self.rank == 0 else None
        code = run_attempt(task, self.run, place, StopFlag(), events, program)
        if events is not None:
            events.close()
        told = read_events(folder.events_file(key, self.rank))
        return code, next(event.fields for event in told if event.kind == "exit")


@pytest.fixture
def alone(run) -> Alone:
    paper_job(run).spec.write(run.stage("s1").spec)
    return Alone(run)


@pytest.mark.parametrize("rank", [0, 3])
def test_failing_rank_tells_its_fault_its_node_and_the_last_step_that_was_done(alone, rank):
    def fail(job):
        job.reached.step = 12
        raise KeyError("video")

    alone.rank = rank

    code, told = alone(fail)

    assert (code, told) == (
        1,
        {
            "outcome": "failed",
            "code": 1,
            "message": "KeyError: 'video'",
            "step": 12,
            "error": "KeyError",
            "fault": "deterministic",
            "lost_peer": False,
            "host": "n2",
        },
    )


def test_node_of_a_rank_that_only_lost_another_is_not_blamed(alone):
    def fail(_):
        raise ConnectionResetError("Connection reset by peer")

    _, told = alone(fail)

    assert (told["fault"], told["lost_peer"], "host" in told) == ("hardware", True, False)


@pytest.mark.parametrize(
    ("refusal", "fault"),
    [(RefusedError("no"), "deterministic"), (RefusedError("no", fault="parents"), "parents")],
)
def test_refusal_tells_its_kind(alone, refusal, fault):
    def refuse(_):
        raise refusal

    code, told = alone(refuse)

    assert (code, told) == (
        93,
        {"outcome": "refused", "code": 93, "message": "no", "fault": fault},
    )


def test_zombie_ends_as_refused_whatever_it_stumbles_over(alone, run):
    def stumble(_):
        write_atomic(run.stage("s1").fence, "2")
        raise FileNotFoundError("the newer attempt removed it")

    code, told = alone(stumble)

    assert (code, told["outcome"], told["fault"]) == (93, "refused", "fenced")
    assert told["message"] == "a newer submission than number 1 of this stage exists"


def test_stop_on_this_machine_does_not_ask_slurm(alone, run):
    def stop(job):
        job.stop.stay()
        raise StoppedError(7)

    code, told = alone(stop)

    kinds = [event.kind for event in read_events(run.stage("s1").events / "token.0.jsonl")]
    assert (code, told["step"], kinds) == (75, 7, ["signal", "exit"])
