"""Rows of annotation files through their index: found, read, built once."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.annotations import open_set, read_items
from jobs.data.errors import AnnotationsError
from jobs.data.index import FOLDER, KEPT_FAULTS, open_index
from jobs.data.items import CaptionItem, MediaSet
from jobs.data.scan import Scan

ROOT = Path(__file__).parents[3]
JSON_OBJECTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def row(number: int) -> dict[str, str]:
    return {"video": f"{number}.mp4", "caption": f"clip {number}, später 犬"}


def write(path: Path, count: int) -> Path:
    path.write_text(json.dumps([row(i) for i in range(count)], ensure_ascii=False), "utf-8")
    return path


def faults_of(path: Path) -> list[tuple[int | None, str]]:
    with pytest.raises(AnnotationsError) as caught:
        open_index(path)
    return [(fault.row, fault.what) for fault in caught.value.faults]


@given(
    rows=st.lists(JSON_OBJECTS, min_size=1, max_size=6),
    indent=st.sampled_from([None, 2]),
    plain=st.booleans(),
    listed=st.booleans(),
    piece=st.integers(1, 40),
)
def test_scan_finds_every_row_where_it_is_whatever_the_pieces(rows, indent, plain, listed, piece):
    texts = [json.dumps(row, indent=indent, ensure_ascii=plain) for row in rows]
    file = f"[{' ,'.join(texts)} ]" if listed else "\n".join(texts)
    data = file.encode()
    found = list(Scan(BytesIO(data), piece))

    assert [value for _, value in found] == rows
    decode = json.JSONDecoder().raw_decode
    assert [decode(data[begin:].decode())[0] for begin, _ in found] == rows


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"a": 1} {"a": 2}]', "is not JSON: expected ',' or ']' (byte 10, row 1)"),
        ('[{"a": 1}] x', "must be a JSON list, or JSON lines; found something else (byte 11, row"),
        ('[{"a": 1}, {"b"]', "is not JSON: Expecting ':' delimiter (byte 15, row 1)"),
        ('{"a": 1}\n{"b": ', "is not JSON: Expecting value (byte 15, row 1)"),
        ("[1", "is not JSON: expected ',' or ']' (byte 2, row 1)"),
        ("[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
    ],
)
def test_broken_file_is_one_fault_with_its_byte_and_row(tmp_path, text, problem):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)

    whole = [what for number, what in faults_of(path) if number is None]

    assert len(whole) == 1
    assert whole[0].startswith(problem)


def test_file_in_another_encoding_is_a_fault(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes('[{"video": "a", "caption": "später"}]'.encode("latin-1"))

    assert faults_of(path) == [(None, "is not UTF-8 (byte 30, row 0)")]


def test_json_lines_give_the_same_items_as_a_list(tmp_path):
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(json.dumps(row(i)) for i in range(3)) + "\n")

    assert read_items(lines) == read_items(write(tmp_path / "rows.json", 3))


def test_rows_are_read_one_by_one_and_in_slices(tmp_path):
    rows = read_items(write(tmp_path / "rows.json", 10))

    items = [CaptionItem("video", f"{i}.mp4", f"clip {i}, später 犬") for i in range(10)]
    assert (rows[3], rows[-1], len(rows)) == (items[3], items[9], 10)
    assert rows[2:8][1:3] == items[3:5]
    assert list(rows) == items
    with pytest.raises(IndexError):
        rows[10]


def test_second_opening_reads_no_rows(tmp_path):
    path = write(tmp_path / "rows.json", 3)
    place = open_index(path).place
    built = place.stat()

    again = open_index(path)

    assert (again.place, again.place.stat().st_ino) == (place, built.st_ino)
    assert place.parent == tmp_path / FOLDER


def test_changed_file_gets_a_new_index(tmp_path):
    path = write(tmp_path / "rows.json", 3)
    old = read_items(path)

    new = read_items(write(path, 5))

    assert (len(old), len(new)) == (3, 5)


def test_row_that_changed_under_the_run_is_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "rows.json", 3)
    rows = read_items(path)
    path.write_text("[]")

    with pytest.raises(AnnotationsError, match="row 2: changed under the run"):
        rows[2]


@pytest.mark.parametrize("spoilt", [b"", b"{}", b"not json" * 100])
def test_spoilt_index_is_built_again(tmp_path, spoilt):
    path = write(tmp_path / "rows.json", 3)
    open_index(path).place.write_bytes(spoilt)

    assert len(open_index(path)) == 3


def test_index_cut_short_is_built_again(tmp_path):
    path = write(tmp_path / "rows.json", 3)
    place = open_index(path).place
    os.truncate(place, place.stat().st_size - 1)

    assert len(open_index(path)) == 3


def test_index_goes_to_the_cache_where_the_folder_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write(tmp_path / "rows.json", 3)
    (tmp_path / FOLDER).write_text("in the way, also of root")

    assert (tmp_path / "cache") in open_index(path).place.parents
    assert read_items(path)[1].caption.startswith("clip 1")


def test_no_place_for_an_index_names_both_and_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "rows.json"))
    path = write(tmp_path / "rows.json", 3)
    (tmp_path / FOLDER).write_text("in the way")

    ((_, what),) = faults_of(path)

    assert f"{tmp_path / FOLDER} (" in what
    assert what.endswith("set XDG_CACHE_HOME to a folder that can be written and has room")


def test_mistyped_folder_is_not_made(tmp_path):
    faults_of(tmp_path / "no" / "rows.json")

    assert list(tmp_path.iterdir()) == []


def test_many_faults_are_counted_and_the_first_kept(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"video": "a"}] * (KEPT_FAULTS + 7)))

    with pytest.raises(AnnotationsError) as caught:
        open_index(path)

    assert (len(caught.value.faults), caught.value.total) == (KEPT_FAULTS, KEPT_FAULTS + 7)
    assert str(caught.value).endswith(f"... and {KEPT_FAULTS - 3} more faults")
    assert not list((tmp_path / FOLDER).glob("*.index"))


def test_of_many_processes_one_builds_and_all_read_the_same(tmp_path):
    path = write(tmp_path / "rows.json", 20_000)
    code = (
        "import sys; from pathlib import Path; from jobs.data.index import open_index\n"
        "sys.stdin.read()\n"
        "index = open_index(Path(sys.argv[1]))\n"
        "import os; print(os.stat(index.place).st_ino, index.item(19_999).media)"
    )
    command = [sys.executable, "-c", code, str(path)]
    asking = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]

    for process in asking:
        process.stdin.close()
    answers = {process.stdout.read() for process in asking}

    for process in asking:
        process.stdout.close()
        assert process.wait(60) == 0
    assert len(answers) == 1
    assert answers.pop().split()[1] == "19999.mp4"


def test_killed_builder_leaves_nothing_that_stops_or_misleads_the_next(tmp_path):
    path = write(tmp_path / "rows.json", 150_000)
    code = "import sys; from pathlib import Path; from jobs.data.index import open_index\n"
    code += "open_index(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT) as builder:
        part = tmp_path / FOLDER / "rows.json.part"
        give_up = time.monotonic() + 120
        while not part.exists() and time.monotonic() < give_up:
            time.sleep(0.005)
        builder.kill()
    assert [file.name for file in part.parent.glob("*.index")] == []

    assert len(open_index(path)) == 150_000
    assert not part.exists()


def test_set_pickled_for_another_process_reads_the_same_rows(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.mp4").touch()
    opened = open_set(write(tmp_path / "rows.json", 3), tmp_path)

    again = pickle.loads(pickle.dumps(opened))

    assert isinstance(again, MediaSet)
    assert again == opened


def test_forked_workers_read_at_once_without_disturbing_each_other(tmp_path):
    rows = read_items(write(tmp_path / "rows.json", 2_000))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(rows.__getitem__, range(2_000), chunksize=50)

    assert [item.media for item in found] == [f"{i}.mp4" for i in range(2_000)]
