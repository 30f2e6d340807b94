"""What is around: programs, Pythons, names, variables; and what a node tells."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.cluster.base import NoAnswer
from launcher.doctor import facts
from launcher.doctor.finding import Level
from launcher.doctor.probe import Seen, read
from launcher.doctor.probed import probed
from launcher.doctor.surroundings import Around, Python, compared, names, surroundings

VERSIONS = {
    "python": "3.11.7",
    "submitit": "1.5.4",
    "torch": "2.9.0+cu124",
    "deepspeed": "0.19.8",
    "transformers": "5.23.0",
}
HERE = Python("here", VERSIONS)
AROUND = Around(
    programs=dict.fromkeys(facts.PROGRAMS, "/usr/bin/x"),
    client="slurm 25.05.1",
    here=HERE,
    trains=True,
    state="/tmp",
    state_free_bytes=10**9,
)


def told(findings) -> list[tuple[str, str]]:
    return [(str(finding.level), finding.id) for finding in findings]


def test_surroundings_that_are_as_they_should_be_are_fine():
    assert told(surroundings(AROUND)) == [("ok", "slurm-programs"), ("ok", "packages")]


@pytest.mark.parametrize(
    ("change", "level", "id_"),
    [
        ({"programs": {"sbatch": None}}, "note", "no-slurm"),
        ({"programs": {"sbatch": "/x", "sacct": None}}, "warning", "slurm-programs"),
        ({"unset": ("TEAM_CHAT",)}, "warning", "notify-unset"),
        ({"env_warnings": ("env: not used",)}, "warning", "env-file"),
        ({"ignored": ("SBATCH_ACCOUNT",)}, "warning", "sbatch-variables"),
        ({"state_free_bytes": None}, "warning", "state"),
        ({"state_free_bytes": 9_999_999}, "warning", "state"),
        ({"here": Python("here", {"python": "3.11.7"})}, "warning", "packages"),
    ],
)
def test_what_is_amiss_is_told(change, level, id_):
    assert (level, id_) in told(surroundings(replace(AROUND, **change)))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, [("ok", "packages")]),
        ({"python": "3.11.2", "torch": "2.9.0+cpu"}, [("ok", "packages")]),
        ({"python": "3.12.7"}, [("warning", "versions-differ")]),
        ({"submitit": "1.5.2"}, [("warning", "versions-differ")]),
        ({"torch": "2.8.0"}, [("warning", "versions-differ")]),
        ({"torch": None}, [("warning", "packages")]),
        ({"submitit": None}, [("warning", "packages")]),
    ],
)
def test_python_of_the_nodes_is_compared_with_this_one(other, expected):
    there = {name: value for name, value in (VERSIONS | other).items() if value is not None}

    assert told(compared(HERE, Python("p", there), where="x", trains=True)) == expected


def test_login_node_without_torch_says_nothing_about_that_of_the_nodes():
    here = Python("here", {"python": "3.11.7", "submitit": "1.5.4"})

    found = compared(here, Python("p", VERSIONS), where="x", trains=True)

    assert told(found) == [("ok", "packages")]


def test_python_that_cannot_be_asked_is_not_checked_and_never_fine(tmp_path):
    quiet = tmp_path / "python"
    quiet.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    quiet.chmod(0o755)

    for name, fault in (("/nosuch/python", "No such file"), (str(quiet), "no such module")):
        python = facts.look_at_python(name)
        assert fault in python.fault
        assert told(compared(HERE, python, where="x", trains=True)) == [
            ("not checked", "python-silent")
        ]


def test_python_tells_the_versions_that_pip_knows():
    import importlib.metadata  # noqa: PLC0415

    found = facts.look_at_python(sys.executable)

    assert found.fault == ""
    assert found.versions["submitit"] == importlib.metadata.version("submitit")
    assert found.versions["python"] == "{}.{}.{}".format(*sys.version_info[:3])


def test_name_that_does_not_resolve_is_told_and_one_that_does_is_not():
    resolved = facts.resolve(["localhost", "no-such-host.invalid"], wait_s=20.0)

    [found] = names(resolved, "localhost", total=1)

    assert (found.level, found.what) == (
        Level.WARNING,
        "host names that do not resolve here: no-such-host.invalid",
    )


def test_name_without_an_answer_in_time_is_not_checked():
    assert told(names({"n1": True, "n2": None}, "n1", total=2)) == [("not checked", "names")]


def seen(**change) -> Seen:
    fine = Seen(
        host="n1",
        clock_s=0.0,
        versions=VERSIONS,
        sees=True,
        writes=True,
        gpus=8,
        gpus_by="nvidia-smi",
        names={"n1": True, "n2": True},
    )
    return replace(fine, **change)


@pytest.mark.parametrize(
    ("change", "worst"),
    [
        ({}, []),
        ({"sees": False, "writes": False}, ["folder-on-node"]),
        ({"writes": False}, ["folder-on-node"]),
        ({"clock_s": 6.0}, ["clock"]),
        ({"gpus": 7}, ["gpus-seen"]),
        ({"names": {"n1": True, "n2": False}}, ["names"]),
        ({"versions": VERSIONS | {"torch": "2.8.0"}}, ["versions-differ"]),
    ],
)
def test_node_is_told_by_what_is_amiss_there(change, worst):
    found = list(probed(seen(**change), "partition p", HERE, gpus=8, trains=True))

    assert [each.id for each in found if each.level is Level.WARNING] == worst


def test_node_that_did_not_answer_is_not_checked():
    found = probed(NoAnswer("srun: Unable to allocate"), "p", HERE, gpus=8, trains=True)

    assert told(found) == [("not checked", "probe")]


@pytest.mark.parametrize(("at", "clock_s"), [(100.0, 0.0), (90.0, 5.0), (120.0, 10.0)])
def test_clock_of_a_node_is_judged_by_both_ends_of_the_question(at, clock_s):
    told = {
        "host": "n1",
        "at": at,
        "versions": {},
        "seen": True,
        "writable": True,
        "gpus": 0,
        "gpus_by": "",
        "names": {},
    }

    found = read(f"module loaded\n{json.dumps(told)}\n", 95.0, 110.0, is_written=True)

    assert isinstance(found, Seen)
    assert found.clock_s == clock_s


@pytest.mark.parametrize("said", ["", "module: not found", '{"host": "n1"}', "[1]"])
def test_node_that_printed_something_else_gave_no_answer(said):
    assert isinstance(read(said, 0.0, 1.0, is_written=False), NoAnswer)


def test_script_of_a_node_sees_the_folder_by_its_token_and_writes_there(tmp_path: Path):
    (tmp_path / "t").write_text("t")
    asked = {"packages": [], "folder": str(tmp_path), "token": "t", "names": ["localhost"]}

    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", facts.script(), json.dumps(asked)],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "0,1"},
        timeout=180,
        check=True,
    )
    found = read(done.stdout, started, time.time(), is_written=(tmp_path / "t.node").exists())

    assert isinstance(found, Seen)
    assert (found.sees, found.writes, found.names) == (True, True, {"localhost": True})
    assert found.gpus == 2 or found.gpus_by == "nvidia-smi"
