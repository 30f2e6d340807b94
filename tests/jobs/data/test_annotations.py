import json

import pytest

from jobs.data.annotations import MEDIA_CHECKED, open_set, read_items
from jobs.data.errors import AnnotationsError
from jobs.data.items import CaptionItem, ChoiceItem, ConversationItem, MediaSet, Turn


@pytest.fixture
def write(tmp_path):
    def write(rows):
        path = tmp_path / "rows.json"
        path.write_text(json.dumps(rows))
        return path

    return write


def faults_of(call, *args):
    with pytest.raises(AnnotationsError) as caught:
        call(*args)
    return [(fault.row, fault.field, fault.what) for fault in caught.value.faults]


def test_caption_row_becomes_a_caption_item(write):
    rows = [{"video": "a.mp4", "caption": "a dog"}, {"image": "b.jpg", "caption": "a cat"}]

    items = read_items(write(rows))

    assert items == (CaptionItem("video", "a.mp4", "a dog"), CaptionItem("image", "b.jpg", "a cat"))


def test_conversation_row_keeps_its_turns_and_its_span(write):
    qa = [{"i": "look", "q": "", "a": "a dog"}, {"q": "where?", "a": "left"}]

    items = read_items(write([{"video": "a.mp4", "QA": qa, "start": 1, "end": 2.5}]))

    turns = (Turn("look", "", "a dog"), Turn("", "where?", "left"))
    assert items == (ConversationItem("video", "a.mp4", turns, 1.0, 2.5),)


def test_row_without_media_is_text(write):
    items = read_items(write([{"QA": [{"i": "", "q": "hi", "a": "hello"}]}]))

    assert items == (ConversationItem("text", None, (Turn("", "hi", "hello"),)),)


def test_choice_row_knows_the_place_of_its_answer(write):
    row = {"video": "a.mp4", "question": "which?", "candidates": ["up", "down"], "answer": "down"}

    (item,) = read_items(write([row]))

    assert item == ChoiceItem("video", "a.mp4", "which?", ("up", "down"), "down")
    assert item.answer_index == 1


def test_faults_of_all_rows_come_at_once_with_row_and_field(write):
    rows = [
        {"video": "a.mp4", "caption": 3},
        {"video": "a.mp4", "QA": [{"q": "x", "a": "y"}, {"q": "x"}]},
        {"video": "a.mp4", "question": "q", "candidates": ["x"], "answer": "y"},
        {"video": "a.mp4", "caption": "fine"},
        {"video": "a.mp4", "QA": [{"a": "y"}], "start": 3, "end": 3},
        {"picture": "a.jpg"},
        "row",
    ]

    faults = faults_of(read_items, write(rows))

    assert faults == [
        (0, "caption", "must be text, is int"),
        (1, "QA[1].a", "is missing"),
        (2, "answer", "'y' is not one of the candidates ['x']"),
        (4, "end", "3.0 is not after start 3.0"),
        (5, "", "has none of 'caption', 'QA', 'question'"),
        (6, "", "must be an object, is str"),
        (6, "", "has none of 'caption', 'QA', 'question'"),
    ]


def test_text_of_many_faults_shows_ten_and_the_count_of_the_others(write):
    path = write([{"video": "a.mp4", "caption": ""}] * 13)

    with pytest.raises(AnnotationsError) as caught:
        read_items(path)

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: row 0: caption: is empty"
    assert (len(lines), lines[-1]) == (11, "... and 3 more faults")


@pytest.mark.parametrize("text", ["{", '{"video": "a"}', "[]"])
def test_file_that_is_no_list_of_rows_is_one_fault(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_text(text)

    faults = faults_of(read_items, path)

    assert [(row, field) for row, field, _ in faults] == [(None, "")]


def test_missing_annotation_file_is_named(tmp_path):
    faults = faults_of(read_items, tmp_path / "no.json")

    assert faults == [(None, "", "cannot be read: No such file or directory")]


def test_missing_media_root_is_one_fault(write, tmp_path):
    rows = [{"video": "a.mp4", "caption": "x"}] * 3

    faults = faults_of(open_set, write(rows), tmp_path / "nowhere")

    assert faults == [(None, "", f"its media root {tmp_path / 'nowhere'} is not a folder")]


def test_missing_media_file_is_named_with_its_root(write, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    rows = [{"video": "a.mp4", "caption": "x"}, {"video": "b.mp4", "caption": "x"}]

    faults = faults_of(open_set, write(rows), tmp_path)

    assert faults == [(1, "video", f"no file 'b.mp4' under the media root {tmp_path}")]


def test_of_a_large_set_only_a_part_of_the_media_is_looked_for(write, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    rows = [{"video": "a.mp4", "caption": "x"}] * (2 * MEDIA_CHECKED)
    rows[1] = {"video": "not looked for.mp4", "caption": "x"}

    found = open_set(write(rows), tmp_path)

    assert len(found.items) == 2 * MEDIA_CHECKED


def test_wrong_media_root_of_a_large_set_is_noticed(write, tmp_path):
    rows = [{"video": "a.mp4", "caption": "x"}] * (2 * MEDIA_CHECKED)

    faults = faults_of(open_set, write(rows), tmp_path)

    assert [row for row, _, _ in faults] == list(range(0, 2 * MEDIA_CHECKED, 2))


def test_set_of_mixed_kinds_is_refused(write, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    rows = [{"video": "a", "caption": "x"}] * 2 + [{"image": "a", "caption": "x"}]

    faults = faults_of(open_set, write(rows), tmp_path)

    assert faults == [
        (2, "image", "a set holds one kind of media; most rows here are video"),
    ]


def test_open_set_of_text_needs_no_root(write, tmp_path):
    path = write([{"QA": [{"a": "hello"}]}])

    found = open_set(path, tmp_path / "nowhere", name="chat")

    item = ConversationItem("text", None, (Turn("", "", "hello"),))
    assert found == MediaSet("chat", "text", (item,), tmp_path / "nowhere")
