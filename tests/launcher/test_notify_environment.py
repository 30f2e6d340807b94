"""The file of variables that cron's empty environment lacks."""

import os
from pathlib import Path

import pytest

from launcher.notify import environment_file, load_environment


def write(home: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = home / ".config" / "launcher" / "env"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_lines_of_the_file_become_variables(tmp_path):
    write(
        tmp_path,
        "# addresses\n"
        "\n"
        "TEAM_CHAT=slack://token/#training\n"
        '  export LAUNCHER_PING="https://hc.example/uuid"\r\n'
        "LAUNCHER_NOTIFY='json://one json://two' \n"
        "EMPTY=\n",
    )

    values, warnings = load_environment({"HOME": str(tmp_path)})

    assert warnings == []
    assert values == {
        "HOME": str(tmp_path),
        "TEAM_CHAT": "slack://token/#training",
        "LAUNCHER_PING": "https://hc.example/uuid",
        "LAUNCHER_NOTIFY": "json://one json://two",
        "EMPTY": "",
    }


def test_environment_goes_before_the_file(tmp_path):
    write(tmp_path, "A=file\nB=file\n")

    values, _ = load_environment({"HOME": str(tmp_path), "A": "process"})

    assert (values["A"], values["B"]) == ("process", "file")


def test_missing_file_is_no_fault(tmp_path):
    environ = {"HOME": str(tmp_path)}

    assert load_environment(environ) == (environ, [])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_file_that_others_may_read_or_change_is_not_used(tmp_path, mode):
    path = write(tmp_path, "TEAM_CHAT=slack://secret\n", mode)

    values, warnings = load_environment({"HOME": str(tmp_path)})

    assert "TEAM_CHAT" not in values
    assert warnings == [
        f"{path}: not used: others can read or change it (mode {mode:o}); type: chmod 600 {path}"
    ]


def test_file_of_another_user_is_not_used(tmp_path):
    path = write(tmp_path, "TEAM_CHAT=slack://secret\n")
    os.chown(path, 12345, -1)

    values, warnings = load_environment({"HOME": str(tmp_path)})

    assert "TEAM_CHAT" not in values
    assert warnings == [f"{path}: not used: it belongs to user 12345; make it your own"]


@pytest.mark.parametrize(
    "line", ["slack://secret", "A B=secret", "1A=secret", "A='secret", 'A="', "A=a\0b"]
)
def test_line_that_is_none_is_told_by_its_number_only_and_the_rest_is_used(tmp_path, line):
    path = write(tmp_path, f"GOOD=1\n{line}\nALSO=2\n")

    values, warnings = load_environment({"HOME": str(tmp_path)})

    assert (values["GOOD"], values["ALSO"], len(values)) == ("1", "2", 3)
    assert warnings == [f"{path}:2: not used: write NAME=VALUE or NAME='VALUE'"]


def test_file_that_is_no_text_is_a_warning(tmp_path):
    path = write(tmp_path, b"A=\xff\n")

    _, warnings = load_environment({"HOME": str(tmp_path)})

    assert warnings == [f"{path}: not used: it is not UTF-8 text; mend or remove it"]


def test_folder_in_its_place_is_a_warning(tmp_path):
    path = tmp_path / ".config" / "launcher" / "env"
    path.mkdir(parents=True)

    _, warnings = load_environment({"HOME": str(tmp_path)})

    assert warnings == [f"{path}: not used: Is a directory; mend or remove it"]


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"HOME": "/home/me"}, "/home/me/.config/launcher/env"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "/etc/me"}, "/etc/me/launcher/env"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "relative"}, "/home/me/.config/launcher/env"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": ""}, "/home/me/.config/launcher/env"),
    ],
)
def test_file_lies_where_the_standard_wants_it(environ, place):
    assert str(environment_file(environ)) == place
