"""`launcher export`: nothing of the ledger is lost on the way, and nothing else is overwritten."""

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from db.plain_json import json_text
from db.record import add_event
from db.schema import Base
from db.states import RunState
from db.version import MIGRATIONS, versions
from launcher.cli import main
from launcher.export.values import csv_line
from launcher.export.write import write_csv, write_json
from tests.launcher.ledgers import NOW, a_run, big_ledger, small_ledger

ROOT = Path(__file__).parents[2]
BELONGS_TO_NO_RUN = {"quarantined_node", "pass", "lease", "cursor"}
CELL = re.compile(r'"((?:[^"]|"")*)"|([^",\r\n]*)')


@pytest.fixture(autouse=True)
def _no_ledger_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAUNCHER_RUNS", "LAUNCHER_LEDGER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A ledger of two runs, the newer one without stages."""
    ledger = small_ledger(tmp_path / "runs")
    with ledger.write() as session:
        session.add(a_run("other-2", NOW, RunState.DONE))
    return tmp_path / "runs"


def export(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main(["export", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def rows_by_sqlite(runs: Path) -> dict[str, list[dict]]:
    """The rows as SQLite itself gives them, by table."""
    with sqlite3.connect(runs / "ledger.db") as connection:
        connection.row_factory = sqlite3.Row
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]
            for name in Base.metadata.tables
        }


def as_sqlite(table: str, row: dict) -> dict:
    """A row of the JSON export as SQLite holds it: booleans as numbers, JSON as text."""
    columns = Base.metadata.tables[table].columns
    return {key: _as_sqlite(str(columns[key].type), value) for key, value in row.items()}


def _as_sqlite(kind: str, value: object) -> object:
    if kind == "JSON":
        return json.dumps(value)
    return int(value) if isinstance(value, bool) else value


def test_json_holds_every_row_of_every_table(runs: Path, capsys) -> None:
    code, out, err = export(capsys, "--runs", runs)
    document = json.loads(out)

    found = {
        name: [as_sqlite(name, row) for row in table["rows"]]
        for name, table in document["tables"].items()
    }

    assert (code, err) == (0, "")
    assert found == rows_by_sqlite(runs)
    assert len(found["attempt"]) == 3


def test_json_says_what_it_is_of(runs: Path, capsys) -> None:
    document = json.loads(export(capsys, "--runs", runs)[1])

    assert list(document)[:5] == ["format", "schema", "launcher", "ledger", "run"]
    assert document["schema"] == versions(MIGRATIONS)[-1]
    assert document["run"] is None
    assert {name: table["columns"] for name, table in document["tables"].items()} == {
        name: [column.name for column in table.columns]
        for name, table in Base.metadata.tables.items()
    }


def test_csv_holds_every_row_of_every_table(runs: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "csv"

    code, out, _ = export(capsys, "--runs", runs, "--format", "csv", "-o", folder)

    assert (code, out) == (0, "")
    about = json.loads((folder / "export.json").read_text())
    for name, wanted in rows_by_sqlite(runs).items():
        assert read_csv(folder / f"{name}.csv", name) == wanted
        assert about["rows"][name] == len(wanted)
    assert len(list(folder.iterdir())) == 1 + len(Base.metadata.tables)


def read_csv(path: Path, table: str) -> list[dict]:
    """Reads a file back as SQLite holds its rows; an empty cell without quotes is NULL."""
    text = path.read_bytes().decode()
    records: list[list[tuple[str, bool]]] = [[]]
    at = 0
    while at < len(text):
        cell = CELL.match(text, at)
        quoted = cell[1] is not None
        records[-1].append((cell[1].replace('""', '"') if quoted else cell[2], quoted))
        at = cell.end() + 1
        if text[at - 1] == "\r":
            assert text[at] == "\n"
            at += 1
            records.append([])
    names = [name for name, _ in records[0]]
    kinds = [str(column.type) for column in Base.metadata.tables[table].columns]
    return [
        {name: _value(kind, *cell) for name, kind, cell in zip(names, kinds, record, strict=True)}
        for record in records[1:-1]
    ]


def _value(kind: str, text: str, quoted: bool) -> object:  # noqa: FBT001 - what a cell is
    if not quoted:
        numbers = {"": None, "true": 1, "false": 0}
        if text in numbers:
            return numbers[text]
        return float(text) if "." in text or "e" in text or "n" in text else int(text)
    return json.dumps(json.loads(text)) if kind == "JSON" else text


@pytest.mark.parametrize("form", ["json", "csv"])
def test_run_has_its_own_rows_and_no_others(runs: Path, tmp_path: Path, capsys, form: str) -> None:
    small_ledger(tmp_path / "alone", run_id="demo-1")
    target = tmp_path / "out"

    code, _, _ = export(capsys, "--runs", runs, "--run", "demo", "--format", form, "-o", target)

    if form == "json":
        tables = json.loads(target.read_text())["tables"]
        found = {n: [as_sqlite(n, row) for row in t["rows"]] for n, t in tables.items()}
    else:
        found = {f.stem: read_csv(f, f.stem) for f in target.glob("*.csv")}
    wanted = rows_by_sqlite(tmp_path / "alone")
    wanted["event"] = [row for row in wanted["event"] if row["run_id"]]
    assert code == 0
    assert found == {n: rows for n, rows in wanted.items() if n not in BELONGS_TO_NO_RUN}


def test_export_takes_little_memory_whatever_the_number_of_rows(tmp_path: Path) -> None:
    ledger = big_ledger(tmp_path / "runs", runs=500, stages=4, attempts=5)

    tracemalloc.start()
    with (tmp_path / "out").open("w") as file:
        written = write_json(ledger, None, file, at=NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert written.rows["attempt"] == 10_000
    assert peak < 10e6


def test_numbers_and_texts_come_back_as_they_were() -> None:
    values = [None, "", 'a "b",\r\nc', "=1+1", True, 0, 1 / 3, 1e300, float("inf"), {"a": ["ü"]}]

    assert csv_line(values) == (
        ',"","a ""b"",\r\nc","=1+1",true,0,0.3333333333333333,1e+300,inf,"{""a"": [""ü""]}"\r\n'
    )
    assert json.loads(json_text(values[:-2])) == values[:-2]
    assert json_text({"loss": [float("nan"), 1.0]}) == '{"loss": ["nan", 1.0]}'


def test_file_is_replaced_whole(runs: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "ledger.json"
    file.write_text("old")

    code, out, err = export(capsys, "--runs", runs, "-o", file)

    assert (code, out) == (0, "")
    assert re.fullmatch(rf"\d+ rows of 10 tables are in {file}\n", err)
    assert json.loads(file.read_text())["format"] == "launcher-ledger"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.json", "runs"]


def test_dash_is_standard_output_and_no_file(
    runs: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, err = export(capsys, "--runs", runs, "-o", "-")

    assert (code, json.loads(out)["format"], err) == (0, "launcher-ledger", "")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_link_is_written_through(runs: Path, tmp_path: Path, capsys) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("real.json")

    export(capsys, "--runs", runs, "-o", link)

    assert link.is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["format"] == "launcher-ledger"


def test_pipe_is_written_into_and_stays_a_pipe(runs: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "launcher", "export", "--runs", str(runs), "-o", str(pipe)]

    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        document = json.loads(pipe.read_text())
        process.communicate(timeout=180)

    assert (process.returncode, document["format"]) == (0, "launcher-ledger")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_folder_that_holds_something_stays_as_it_is(runs: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "csv"
    folder.mkdir()
    (folder / "run.csv").write_text("mine")

    code, _, err = export(capsys, "--runs", runs, "--format", "csv", "-o", folder)

    assert (code, (folder / "run.csv").read_text()) == (2, "mine")
    assert err == f"error: {folder}: is not empty; name another folder, or add --force\n"


def test_force_replaces_an_export(runs: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "csv"
    arguments = ("--runs", runs, "--format", "csv", "-o", folder)
    export(capsys, *arguments)
    (folder / "gone.csv").write_text("of an older schema")

    code, _, _ = export(capsys, *arguments, "--force")

    assert (code, (folder / "gone.csv").exists()) == (0, False)
    assert len(read_csv(folder / "run.csv", "run")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "runs"]


def test_force_leaves_a_folder_of_other_things_alone(runs: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")

    code, _, err = export(capsys, "--runs", runs, "--format", "csv", "-o", folder, "--force")

    assert (code, (folder / "thesis.tex").read_text()) == (2, "mine")
    assert "holds 'thesis.tex', which no export has made" in err


def test_export_that_breaks_leaves_the_older_one(tmp_path: Path, capsys) -> None:
    runs = tmp_path / "runs"
    small_ledger(runs)
    folder = tmp_path / "csv"
    export(capsys, "--runs", runs, "--format", "csv", "-o", folder)
    before = (folder / "attempt.csv").read_bytes()
    with sqlite3.connect(runs / "ledger.db") as connection:
        connection.execute("UPDATE attempt SET loss = 3.5")
        connection.execute("DROP TABLE event")

    code, _, err = export(capsys, "--runs", runs, "--format", "csv", "-o", folder, "--force")

    assert (code, "no such table: event" in err) == (4, True)
    assert (folder / "attempt.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "runs"]


def test_csv_of_no_rows_is_a_line_of_names(tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "runs")
    (tmp_path / "csv").mkdir()

    written = write_csv(ledger, None, tmp_path / "csv", at=NOW)

    assert written.rows["lease"] == 0
    assert (tmp_path / "csv" / "lease.csv").read_bytes() == (
        b'"name","number","host","pid","expires_at"\r\n'
    )


def test_bytes_that_are_no_text_do_not_keep_the_rest_from_being_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a file name in another encoding; JSON writes half a letter as a number."""
    said = {"file": "caf\udce9.mp4"}
    with small_ledger(tmp_path / "runs").write() as session:
        add_event(session, "bad_clip", "it happened", at=NOW, run_id="demo-1", data=said)

    code, out, err = export(capsys, "--runs", tmp_path / "runs")
    assert (code, err) == (0, "")
    assert json.loads(out)["tables"]["event"]["rows"][-1]["data"] == said

    folder = tmp_path / "csv"
    code, _, err = export(capsys, "--runs", tmp_path / "runs", "--format", "csv", "-o", folder)
    assert code == 0, err
    last = (folder / "event.csv").read_text(encoding="utf-8").splitlines()[-1]
    assert last.endswith('"{""file"": ""caf\\udce9.mp4""}"')
