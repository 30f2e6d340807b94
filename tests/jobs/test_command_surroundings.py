"""What a foreign program finds in its arguments and in its environment."""

import json

from tests.jobs.programs import command_spec, counting
from tests.jobs.running import run_stage

SHOW = """
import json, os, sys
with open(sys.argv[1] + os.environ.get("RANK", "node"), "w") as file:
    json.dump([sys.argv[2:], dict(os.environ)], file)
"""


def shown(run, folder, ranks, *arguments, **keys):
    """Arguments and environment of each process of a program, by rank."""
    (folder / "show.py").write_text(SHOW)
    argv = ["{python}", str(folder / "show.py"), f"{folder}/shown-", *arguments]
    command = {"argv": argv, "checkpoints": "none", "cwd": str(folder)} | keys
    attempt = run_stage(run, command_spec("s", command, gpus_per_node=8), ranks=ranks)
    assert attempt.codes == [0] * ranks, attempt.log(0)
    return attempt, [json.loads(path.read_text()) for path in sorted(folder.glob("shown-*"))]


def test_program_finds_the_contract_in_its_environment(run, tmp_path):
    attempt, ((_, first), (_, second)) = shown(run, tmp_path, 2, env={"MINE": "{stage}-{rank}"})

    root = run.stage("s").root
    assert {name: first[name] for name in first if name.startswith("LAUNCHER_")} == {
        "LAUNCHER_RUN_FOLDER": str(run.root),
        "LAUNCHER_STAGE_FOLDER": str(root),
        "LAUNCHER_CHECKPOINTS": str(root / "output"),
        "LAUNCHER_ATTEMPT": str(attempt.key),
        "LAUNCHER_FENCE": "1",
        "LAUNCHER_STOP_FILE": str(root / "stop" / str(attempt.key)),
        "LAUNCHER_PROGRAM": first["LAUNCHER_PROGRAM"],
    }
    ranks = [[of[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")] for of in (first, second)]
    assert ranks == [["0", "0", "2"], ["1", "1", "2"]]
    assert first["MASTER_PORT"] == second["MASTER_PORT"] != "1"
    assert (first["MASTER_ADDR"], second["MINE"]) == ("127.0.0.1", "s-1")
    assert "PYTHONSAFEPATH" not in first


def test_program_of_a_node_finds_no_rank_left_over_from_a_login_shell(run, tmp_path):
    _, ((_, found),) = shown(run, tmp_path, 1, layout="node")

    assert (found["NNODES"], found["NODE_RANK"]) == ("1", "0")
    assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE"} & found.keys()


def test_names_in_the_arguments_are_filled_in(run, tmp_path):
    words = ["--n={nodes}x{gpus_per_node}", "{stage_folder}/x", "{{stage}}", '{"a": {"b": 1}}']

    _, ((arguments, _),) = shown(run, tmp_path, 1, *words)

    assert arguments == ["--n=1x8", f"{run.stage('s').root}/x", "{stage}", '{"a": {"b": 1}}']


def test_program_is_given_what_its_parent_has_saved(run, tmp_path):
    run_stage(run, command_spec("before", counting(tmp_path)), ranks=1)

    attempt = run_stage(
        run,
        command_spec(
            "s",
            counting(tmp_path, "--steps", "9", "--resume", "{parent:before}"),
            parents=("before",),
        ),
        ranks=1,
    )

    assert "from 6\n" in attempt.log(0)
