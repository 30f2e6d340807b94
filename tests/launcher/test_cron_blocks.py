"""Our block in a table of somebody else: what is not ours stays as it is, to the byte."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from launcher.cron.blocks import block_of, folders, with_block, without_block
from launcher.errors import LauncherError

RUNS = Path("/data/my runs")
OTHER = Path("/data/my runs 2")
LINES = ["*/2 * * * * true"]
THEIRS = b"MAILTO=me\n# caf\xe9 \xff\n\n0 3 * * *\tbackup \\% % \r\n"
BLOCK = b"""\
# >>> launcher requeue: /data/my runs
*/2 * * * * true
# <<< launcher requeue: /data/my runs
"""


def test_block_comes_last_between_its_marks():
    assert with_block(THEIRS, RUNS, LINES) == THEIRS + BLOCK


def test_block_in_an_empty_table_is_the_table():
    assert with_block(b"", RUNS, LINES) == BLOCK


def test_installing_again_changes_nothing():
    once = with_block(THEIRS, RUNS, LINES)

    assert with_block(once, RUNS, LINES) == once


def test_new_lines_replace_the_old_ones_where_they_stand():
    table = with_block(THEIRS, RUNS, LINES) + b"@reboot after\n"

    changed = with_block(table, RUNS, ["*/5 * * * * true", "more"])

    assert changed == table.replace(b"*/2 * * * * true", b"*/5 * * * * true\nmore")


def test_blocks_of_several_ledgers_stand_side_by_side():
    table = with_block(with_block(THEIRS, RUNS, LINES), OTHER, ["other"])

    assert folders(table) == [RUNS, OTHER]
    assert (block_of(table, RUNS), block_of(table, OTHER)) == (LINES, ["other"])
    assert without_block(table, RUNS) == with_block(THEIRS, OTHER, ["other"])


def test_table_without_a_block_is_left_alone():
    assert without_block(THEIRS, RUNS) == THEIRS
    assert block_of(THEIRS, RUNS) is None


def test_last_line_without_its_end_gets_one():
    assert with_block(b"0 3 * * * backup", RUNS, LINES) == b"0 3 * * * backup\n" + BLOCK


@given(
    st.binary().map(lambda table: table if table.endswith(b"\n") or not table else table + b"\n")
)
@example(THEIRS)
@example(b"a\rb\n\n")
def test_removing_what_was_installed_gives_the_table_back_byte_for_byte(table):
    assert without_block(with_block(table, RUNS, LINES), RUNS) == table


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        (BLOCK.splitlines(keepends=True)[0] + THEIRS, "line 1"),
        (THEIRS + BLOCK.splitlines(keepends=True)[2], "line 5"),
        (BLOCK + BLOCK, "line 1, 3, 4, 6"),
        (b"".join(reversed(BLOCK.splitlines(keepends=True))), "line 1, 3"),
    ],
)
def test_marks_that_are_no_pair_are_an_error_and_nothing_is_guessed(table, lines):
    for change in (without_block, block_of, lambda table, runs: with_block(table, runs, LINES)):
        with pytest.raises(LauncherError, match=rf"/data/my runs \({lines}\) are no pair"):
            change(table, RUNS)
