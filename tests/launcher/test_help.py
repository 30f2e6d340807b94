"""Help of every command there is: examples that work, a paragraph, and a word on each option."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from launcher.cli import COMMANDS, FIRST_STEPS, full_parser, main
from launcher.manual import EXIT_CODES, GROUPS, overview

ROOT = Path(__file__).parents[2]
PARSER, PARSERS = full_parser()
WIDTHS = (40, 80, 200)
SHELL = re.compile(r"[|>;&#]")
"""What ends a command line of the shell."""


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([name, "--help"]) == 0
    return capsys.readouterr().out


def examples(text: str) -> list[str]:
    """The lines of a text that are command lines."""
    found = re.findall(r"^(?:  |\$ )?((?:python -m )?launcher [^\n]*)$", text, re.MULTILINE)
    return [SHELL.split(line)[0].strip() for line in found]


def parse(line: str) -> argparse.Namespace:
    """Parses a command line as far as that goes without running it."""
    words = shlex.split(re.split(r"\s{2,}", line.removeprefix("python -m "))[0])
    return PARSER.parse_args(words[1:])


def test_description_begins_with_two_examples_and_a_paragraph() -> None:
    for name, parser in PARSERS.items():
        shown, _, told = (parser.description or "").partition("\n\n")
        lines = shown.splitlines()

        assert len(lines) >= 2, name
        assert all(line.startswith(f"  launcher {name}") for line in lines), name
        assert len(set(lines)) == len(lines), name
        assert len(told.split()) >= 8, name
        assert told.strip().endswith("."), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_a_command_is_one_that_the_command_takes(name: str) -> None:
    for line in examples(PARSERS[name].description or ""):
        assert parse(line).command == name


def test_first_steps_are_five_lines_that_the_launcher_takes() -> None:
    lines = [line for line in FIRST_STEPS.splitlines() if line.startswith("  launcher")]

    parsed = [parse(line.strip()).command for line in lines]

    assert parsed == ["plan", "submit", "submit", "cron", "status"]


@pytest.mark.parametrize("page", ["README.md", "docs/metrics.md", "docs/export.md"])
def test_every_command_line_of_a_page_is_one_that_the_launcher_takes(page: str) -> None:
    lines = examples((ROOT / page).read_text(encoding="utf-8"))

    assert lines
    for line in lines:
        parse(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_a_word_of_help(name: str) -> None:
    silent = [
        action.option_strings or action.dest
        for action in PARSERS[name]._actions
        if not action.help or action.help == argparse.SUPPRESS
    ]

    assert silent == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_exit_codes_and_neighbours(name: str, capsys) -> None:
    text = help_of(name, capsys)

    codes = text.split("\nexit codes:\n")[1]
    assert re.match(r"  0 +\w", codes)
    near = codes.partition("see also: launcher ")[2]
    assert set(re.findall(r"[a-z]+", near)) <= set(COMMANDS)
    assert name not in near.split()


@pytest.mark.parametrize(
    ("name", "codes"), [("status", "0 1 130"), ("logs", "0 1 130"), ("doctor", "0 1 3")]
)
def test_help_names_the_exit_codes_that_a_command_has(name: str, codes: str, capsys) -> None:
    told = help_of(name, capsys).split("\nexit codes:\n")[1]

    assert re.findall(r"^  (\d+) ", told, re.MULTILINE) == codes.split()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal(name: str, width: int, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    told = help_of(name, capsys).partition("\n\n")[2]  # an example is one line, however long

    prose = told.partition("\nexit codes:")[0].partition("\noptions:")[0].splitlines()
    assert max(map(len, prose)) <= min(width, 100)


def test_help_of_a_terminal_of_80_columns_is_nowhere_wider(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    wide = [
        line for name in COMMANDS for line in help_of(name, capsys).splitlines() if len(line) > 80
    ]

    assert wide == []


def test_every_command_is_in_one_group() -> None:
    placed = [name for names in GROUPS.values() for name in names]

    assert len(placed) == len(set(placed))
    assert [name for name in COMMANDS if name not in placed] == []
    assert "more:" not in overview(COMMANDS)


def test_overview_leaves_no_command_out_that_has_no_group() -> None:
    assert overview({"brand-new": "does it"}) == "more:\n  brand-new    does it"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_command_is_help(name: str, capsys) -> None:
    wanted = help_of(name, capsys)

    assert main(["help", name]) == 0
    assert capsys.readouterr().out == wanted


def test_help_alone_is_help_of_the_launcher(capsys) -> None:
    main(["--help"])
    wanted = capsys.readouterr().out

    assert main(["help"]) == 0
    assert capsys.readouterr().out == wanted
    assert [code for code in EXIT_CODES if f"\n  {code:<4} {EXIT_CODES[code]}" not in wanted] == []


def test_help_of_no_command_is_an_error(capsys) -> None:
    assert main(["help", "plam"]) == 2
    assert capsys.readouterr().err.startswith("error: no command 'plam'; did you mean 'plan'?")
