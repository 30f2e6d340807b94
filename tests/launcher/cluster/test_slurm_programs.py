"""What Slurm's programs say when all is not well reaches the user, and is never "gone"."""

from pathlib import Path

import pytest

from launcher.cluster.base import NoAnswer, SubmitError
from launcher.cluster.slurm import SlurmCluster, slurm_answers
from launcher.identity import user_name
from tests.launcher.cluster.programs import only_programs, put_program
from tests.launcher.cluster.requests import request

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    only_programs(monkeypatch, folder)
    return folder


def test_silent_controller_is_no_answer_in_its_own_words(programs: Path) -> None:
    put_program(
        programs,
        "squeue",
        'echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2\n'
        "exit 1",
    )

    assert SlurmCluster().live() == NoAnswer(
        "squeue: slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    )


def test_missing_accounting_is_no_answer(programs: Path) -> None:
    put_program(programs, "sacct", "echo 'Slurm accounting storage is disabled' >&2\nexit 1")

    assert SlurmCluster().history(["7"]) == NoAnswer("sacct: Slurm accounting storage is disabled")


def test_history_of_no_jobs_asks_nobody() -> None:
    assert SlurmCluster().history([]) == []


def test_missing_program_is_no_answer() -> None:
    assert SlurmCluster().live() == NoAnswer("squeue: No such file or directory")


def test_hanging_program_is_no_answer(programs: Path) -> None:
    put_program(programs, "squeue", "exec sleep 30")

    assert SlurmCluster(query_timeout_s=0.2).live() == NoAnswer("squeue: no answer within 0.2 s")


def test_unreadable_answer_is_no_answer(programs: Path) -> None:
    put_program(programs, "squeue", "echo what is this")

    assert isinstance(SlurmCluster().live(), NoAnswer)


def test_one_question_covers_all_partitions_and_states_of_this_user(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")  # left behind by `su`: her jobs are not ours
    put_program(programs, "squeue", f'echo "$SLURM_TIME_FORMAT $*" >> {tmp_path}/asked')

    assert SlurmCluster().live() == []
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.partition(" -O ")[0] for line in asked] == [f"%s -h -a -t all -u {user_name()}"]


def test_refused_job_says_what_slurm_said_and_what_to_do(programs: Path, tmp_path: Path) -> None:
    put_program(
        programs,
        "sbatch",
        'echo "sbatch: error: invalid partition specified: nosuch" >&2\n'
        'echo "sbatch: error: Batch job submission failed: Invalid partition name" >&2\nexit 1',
    )

    with pytest.raises(SubmitError) as caught:
        SlurmCluster().submit(request(tmp_path))

    assert caught.value.refused
    assert str(caught.value) == (
        "stage second: sbatch: invalid partition specified: nosuch; Batch job submission failed: "
        "Invalid partition name; Slurm refused it: correct the stage's `cluster` settings"
    )


@pytest.mark.parametrize(
    "said", ["Unable to contact slurm controller", "Socket timed out on send/recv operation"]
)
def test_silence_is_not_taken_for_a_refusal(programs: Path, tmp_path: Path, said: str) -> None:
    put_program(programs, "sbatch", f"echo 'sbatch: error: {said}' >&2\nexit 1")

    with pytest.raises(SubmitError) as caught:
        SlurmCluster().submit(request(tmp_path))

    assert not caught.value.refused
    assert "launcher status" in str(caught.value)


def test_hanging_sbatch_is_given_up(programs: Path, tmp_path: Path) -> None:
    put_program(programs, "sbatch", "exec sleep 30")

    with pytest.raises(SubmitError, match="sbatch: no answer") as caught:
        SlurmCluster(sbatch_timeout_s=0.2).submit(request(tmp_path))

    assert not caught.value.refused


def test_sbatch_that_fails_without_a_word_is_not_taken_for_a_refusal(
    programs: Path, tmp_path: Path
) -> None:
    put_program(programs, "sbatch", "exit 3")

    with pytest.raises(SubmitError, match="sbatch: exit code 3") as caught:
        SlurmCluster().submit(request(tmp_path))

    assert not caught.value.refused


def test_missing_sbatch_says_where_to_run_the_launcher(tmp_path: Path) -> None:
    with pytest.raises(SubmitError, match="login node"):
        SlurmCluster().submit(request(tmp_path))


def test_missing_slurm_conf_says_where_to_run_the_launcher(programs: Path, tmp_path: Path) -> None:
    said = "sbatch: fatal: Could not establish a configuration source"
    put_program(programs, "sbatch", f"echo '{said}' >&2\nexit 1")

    with pytest.raises(SubmitError, match=r"no slurm\.conf.* login node"):
        SlurmCluster().submit(request(tmp_path))


def test_task_is_saved_before_sbatch_so_that_a_lost_answer_loses_no_job(
    programs: Path, tmp_path: Path
) -> None:
    asked = request(tmp_path)
    pickle = asked.submitit_folder / "task.pkl"
    put_program(programs, "sbatch", f"[ -s {pickle} ] && echo 'Submitted batch job 41'")

    assert SlurmCluster().submit(asked) == "41"


def test_job_that_launches_passes_on_nothing_of_its_own(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "other")
    monkeypatch.setenv("SLURM_CONF", "/etc/some.conf")
    put_program(
        programs,
        "sbatch",
        f'echo "${{SBATCH_PARTITION-none}} $SLURM_CONF" > {tmp_path}/env\n'
        "echo 'Submitted batch job 41'",
    )

    SlurmCluster().submit(request(tmp_path))

    assert (tmp_path / "env").read_text() == "none /etc/some.conf\n"


def test_slurm_without_controller_is_not_chosen(programs: Path) -> None:
    put_program(programs, "sbatch", "exit 0")
    put_program(programs, "sinfo", "exit 1")

    assert not slurm_answers()
