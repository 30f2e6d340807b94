"""The command line as a user meets it: real processes, whole streams, exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from launcher import __version__
from launcher.cli import COMMANDS, FIRST_STEPS
from tests.launcher.pipelines import GOOD

ROOT = Path(__file__).parents[2]
RUNNER = """\
import sys, types
from launcher import cli

def run(args):
{body}

sys.modules["launcher.commands.plan"] = types.SimpleNamespace(add_arguments=lambda _: None, run=run)
sys.exit(cli.main(["plan"]))
"""


def environment(**extra):
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    return clean | {"PYTHONPATH": str(ROOT)} | extra


def launcher(*args, cwd=ROOT, **extra):
    return subprocess.run(
        [sys.executable, "-m", "launcher", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**extra),
        timeout=180,
        check=False,
    )


def command_line(body):
    """A command of which only the ending matters."""
    return [sys.executable, "-c", RUNNER.format(body=f"    {body}")]


def command(body, **extra):
    return subprocess.run(
        command_line(body),
        capture_output=True,
        text=True,
        env=environment(**extra),
        timeout=180,
        check=False,
    )


def test_launcher_alone_prints_what_a_newcomer_types():
    done = launcher()

    assert (done.returncode, done.stdout, done.stderr) == (0, FIRST_STEPS, "")


def test_version_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert launcher("--version").stdout == f"launcher {project['version']}\n"
    assert __version__ == project["version"]


def test_help_lists_every_command_with_what_it_does():
    text = launcher("--help").stdout

    assert [name for name in COMMANDS if f"{name:<12} {COMMANDS[name]}" not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_starts_with_two_examples(name):
    first, second = launcher(name, "--help").stdout.splitlines()[:2]

    assert first.startswith(f"  launcher {name}")
    assert second.startswith(f"  launcher {name}")
    assert first != second


@pytest.mark.alone  # measures time
def test_help_answers_within_the_time_of_a_blink():
    def once():
        start = time.perf_counter()
        launcher("--help")
        return time.perf_counter() - start

    assert min(once() for _ in range(5)) < 0.3


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from launcher.cli import main; main(['--help']); "
        "print(sorted({'pydantic', 'sqlalchemy', 'rich', 'yaml', 'torch'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=180,
        check=False,
    )

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["sumbit"], "no command 'sumbit'; did you mean 'submit'? known: " + ", ".join(COMMANDS)),
        (["--colour"], "launcher: unrecognized arguments: --colour; see launcher --help"),
        (
            ["status", "--verbos"],
            "launcher status: unrecognized arguments: --verbos; see launcher status --help",
        ),
        (
            ["watch", "--every", "-1"],
            "launcher watch: argument --every: -1: give a number of seconds, at least 1; "
            "see launcher watch --help",
        ),
        (
            ["plan"],
            "launcher plan: the following arguments are required: pipeline; "
            "see launcher plan --help",
        ),
        (["plan", "none.yaml"], "none.yaml: no such file; here are: p.yaml"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path, args, error):
    (tmp_path / "p.yaml").write_text(GOOD, encoding="utf-8")

    done = launcher(*args, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {error}\n")


def test_wrong_pipeline_is_told_line_by_line_and_nothing_is_written(tmp_path):
    text = GOOD.replace("lr: 1e-4", "lr: -1").replace("  nodes: 2", "  nodes: 0")
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")

    done = launcher("plan", "p.yaml", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: p.yaml:4: cluster.nodes: must be at least 1, not 0\n"
        "error: p.yaml:16: stages.second.train.lr: must be greater than 0, not -1\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["p.yaml"]


def test_plan_shows_the_real_pipeline_with_its_total():
    done = launcher("plan", "pipeline.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    assert "in all 18 h and 576 GPU-h, without mvbench (no expect)\n" in done.stdout
    assert re.search(r"^stage3 +stage3 +4 x 8 +stage2 +3 +12 h +384$", done.stdout, re.MULTILINE)
    assert "findings to settle before submit:\n" in done.stdout


def test_plan_as_json_holds_the_same_numbers():
    plan = json.loads(launcher("plan", "pipeline.yaml", "--json").stdout)

    assert (plan["wall_s"], plan["gpu_hours"], plan["unknown"]) == (64800, 576, ["mvbench"])
    assert plan["stages"][2] == {
        "stage": "stage3",
        "kind": "train",
        "what": "stage3",
        "parents": ["stage2"],
        "nodes": 4,
        "min_nodes": 4,
        "gpus_per_node": 8,
        "ranks": 32,
        "epochs": 3,
        "wall_s": 43200,
        "gpu_hours": 384,
        "shares": [],
    }


def test_plan_takes_overrides():
    plan = json.loads(
        launcher("plan", "pipeline.yaml", "--json", "--set", "cluster.nodes=2").stdout
    )

    assert plan["gpu_hours"] == 288


@pytest.mark.parametrize(("args", "extra"), [((), {"NO_COLOR": "1"}), (("--no-color",), {})])
def test_forced_terminal_shows_no_colour_where_none_is_wanted(args, extra):
    coloured = launcher("plan", "pipeline.yaml", FORCE_COLOR="1").stdout
    plain = launcher("plan", "pipeline.yaml", *args, FORCE_COLOR="1", **extra).stdout

    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


def test_ledger_error_ends_with_4():
    body = "from db.errors import LedgerError; raise LedgerError('ledger.db', 'is locked', 'wait')"

    done = command(body)

    assert (done.returncode, done.stderr) == (4, "error: ledger.db: is locked; wait\n")


def test_cluster_error_ends_with_3():
    done = command("from launcher.errors import ClusterError; raise ClusterError('no answer')")

    assert (done.returncode, done.stderr) == (3, "error: no answer\n")


def test_bug_leaves_its_traceback_in_a_file_and_ends_with_70(tmp_path):
    done = command("return 1 // 0", XDG_STATE_HOME=str(tmp_path))

    (report,) = (tmp_path / "launcher").iterdir()
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr == (
        "error: ZeroDivisionError: integer division or modulo by zero; this is a bug, "
        f"please report it: the traceback is in {report}\n"
    )
    assert report.read_text(encoding="utf-8").startswith("Traceback (most recent call last):\n")


def test_bug_shows_its_traceback_where_no_file_can_be_written(tmp_path):
    (tmp_path / "file").touch()

    done = command("return 1 // 0", XDG_STATE_HOME=str(tmp_path / "file"))

    assert done.returncode == 70
    assert "Traceback (most recent call last):\n" in done.stderr


def test_interrupt_ends_with_130_and_no_traceback():
    body = "import time; print('ready', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        command_line(body),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        process.stdout.readline()

        process.send_signal(signal.SIGINT)

        assert process.communicate(timeout=120)[1] == "error: interrupted\n"
    assert process.returncode == 130


@pytest.mark.parametrize(
    "args", [["plan", "pipeline.yaml"], ["plan", "pipeline.yaml", "--json"], []]
)
def test_reader_that_went_away_ends_with_141_and_no_traceback(args):
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "launcher", *args],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=180,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, "")


def test_head_takes_the_first_lines_without_a_traceback():
    body = "import launcher.show.console as c; c.open_screen(args).result(*['line'] * 50_000)"
    process = subprocess.Popen(
        command_line(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    with process:
        head = subprocess.run(
            ["head", "-n", "1"], stdin=process.stdout, capture_output=True, check=True, timeout=180
        )
        process.stdout.close()

        assert (head.stdout, process.stderr.read()) == (b"line\n", b"")
    assert process.returncode == 141
