"""When a job would start: by fake programs, and by the real Slurm, whose words decide."""

import time
from pathlib import Path

import pytest

from launcher.cluster import LocalCluster, SlurmCluster
from launcher.cluster.base import NoAnswer
from launcher.cluster.trial import read_start
from tests.launcher.cluster.programs import only_programs, put_program
from tests.launcher.cluster.requests import request

TOLD = "sbatch: Job 17 to start at {} using 32 processors on nodes node[1-4] in partition preempt"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    only_programs(monkeypatch, folder)
    return folder


def test_start_is_read_in_seconds_and_in_words():
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(1_800_000_000))

    assert read_start(TOLD.format(1_800_000_000)) == 1_800_000_000
    assert read_start("sbatch: warning: x\n" + TOLD.format(moment)) == 1_800_000_000


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("", "sbatch --test-only: it names no start"),
        ("sbatch: all is well", "sbatch: all is well"),
        (TOLD.format("N/A"), "sbatch --test-only: 'N/A' is no moment"),
    ],
)
def test_words_without_a_moment_are_no_answer(said, what):
    assert read_start(said) == NoAnswer(what)


def test_script_goes_to_sbatch_without_its_parents_and_nothing_is_written(
    programs: Path, tmp_path: Path
) -> None:
    put_program(programs, "sbatch", f"echo $* > {tmp_path}/args; cat > {tmp_path}/got; echo '"
                f"{TOLD.format(1_800_000_000)}' >&2")  # fmt: skip
    asked = request(tmp_path, parents=("ID_OF_first",), partition="big")

    assert SlurmCluster().would_start(asked) == 1_800_000_000
    assert (tmp_path / "args").read_text() == "--test-only\n"
    script = (tmp_path / "got").read_text()
    assert "--partition=big" in script
    assert "ID_OF_first" not in script
    assert not asked.folder.root.exists()


def test_refusal_and_silence_are_no_answers_in_slurms_own_words(programs: Path, tmp_path: Path):
    said = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    put_program(programs, "sbatch", f"echo '{said}' >&2\nexit 1")
    refused = SlurmCluster().would_start(request(tmp_path))
    put_program(programs, "sbatch", "exec sleep 30")
    silent = SlurmCluster(query_timeout_s=0.2).would_start(request(tmp_path))

    told = "sbatch: Batch job submission failed: Invalid partition name specified"
    assert (refused, silent) == (NoAnswer(told), NoAnswer("sbatch: no answer within 0.2 s"))


def test_nobody_is_asked_where_there_is_no_slurm(programs: Path, tmp_path: Path) -> None:
    assert SlurmCluster().would_start(request(tmp_path)) is None
    assert LocalCluster().would_start(request(tmp_path)) is None

    said = "sbatch: fatal: Could not establish a configuration source"
    put_program(programs, "sbatch", f"echo '{said}' >&2\nexit 1")

    assert SlurmCluster().would_start(request(tmp_path)) is None


@pytest.mark.cluster
@pytest.mark.usefixtures("slurm")
def test_real_slurm_would_start_a_job_on_free_nodes_now(tmp_path: Path) -> None:
    asked = request(tmp_path, nodes=2, gpus_per_node=4, parents=("ID_OF_first",))

    found = SlurmCluster().would_start(asked)

    assert isinstance(found, float)
    assert -5 < found - time.time() < 120
    assert not asked.folder.root.exists()


@pytest.mark.cluster
@pytest.mark.usefixtures("slurm")
def test_real_slurm_would_start_a_range_of_nodes_now(tmp_path: Path) -> None:
    found = SlurmCluster().would_start(request(tmp_path, nodes="2-4", gpus_per_node=8))

    assert isinstance(found, float)


@pytest.mark.cluster
@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"partition": "nosuch"}, "invalid partition specified: nosuch"),
        ({"gpus_per_node": 64}, "Requested node configuration is not available"),
    ],
)
def test_real_slurm_says_why_a_job_can_never_start(tmp_path: Path, settings, what) -> None:
    found = SlurmCluster().would_start(request(tmp_path, **settings))

    assert isinstance(found, NoAnswer)
    assert what in found.what
