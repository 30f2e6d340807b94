"""What is told of a set before a job is paid for, and which kinds of media a set may hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.contract.spec import DataSet
from jobs.data.annotations import open_set
from jobs.data.check import SHOWN, check_set
from jobs.data.errors import AnnotationsError
from jobs.feed import open_sets

ROOT = Path(__file__).parents[3]


@pytest.fixture
def corpus(tmp_path):
    """Makes media and an annotation file of captions for `media`."""

    def make(media, *, key="video", name="rows.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{key: one, "caption": "x"} for one in media]))
        return path

    for name in ("a.mp4", "b.mp4", "c.gif"):
        (tmp_path / name).write_bytes(b"no video")
    for name in ("frames/1", "frames/2"):
        (tmp_path / name).mkdir(parents=True)
    return make


def check(annotations, *, every_file=False, decode=0, choices=False, **data):
    """What is told, without the file's name."""
    wanted = DataSet(annotations=annotations, **data)
    told = check_set(wanted, name="s", every_file=every_file, decode=decode, choices=choices)
    told["faults"] = [(f["row"], f["field"], f["what"]) for f in told["faults"]]
    return told


def whole_faults(annotations, **options):
    with pytest.raises(AnnotationsError) as caught:
        open_set(annotations, annotations.parent, **options)
    return [fault.what for fault in caught.value.faults]


def test_sound_set_is_told_by_rows_kind_and_form(corpus):
    assert check(corpus(["a.mp4", "b.mp4", "a.mp4"])) == {
        "rows": 3,
        "kind": "video",
        "media_form": "file",
        "forms": {"caption": 3},
        "looked_for": 3,
        "decoded": 0,
        "faults": [],
        "fault_count": 0,
    }


def test_of_many_faults_the_first_are_shown_and_all_counted(corpus):
    told = check(corpus([3] * 2_500))

    assert told["fault_count"] == 2_500
    assert told["faults"] == [(i, "video", "must be text, is int") for i in range(SHOWN)]


def test_rows_of_another_kind_are_all_counted(corpus):
    path = corpus(["a.mp4"])
    rows = [{"video": "a", "caption": "x"}] * 1_300 + [{"QA": [{"a": "x"}]}] * 1_200
    path.write_text(json.dumps(rows))

    told = check(path)

    assert (told["fault_count"], told["faults"][0][:2]) == (1_200, (1_300, "text"))


def test_file_between_the_sampled_ones_is_missed_only_when_all_are_looked_for(corpus):
    path = corpus(["a.mp4", "missing.mp4"] + ["a.mp4"] * 4_000)

    sampled, whole = check(path), check(path, every_file=True)

    assert (sampled["looked_for"], sampled["fault_count"]) == (1_334, 0)
    assert (whole["looked_for"], whole["fault_count"], whole["faults"][0][0]) == (4_002, 1, 1)


def test_missing_root_is_one_fault_and_not_one_a_row(corpus, tmp_path):
    told = check(corpus(["a.mp4"] * 5), media=tmp_path / "no")

    assert (told["rows"], told["looked_for"]) == (5, 0)
    assert told["faults"] == [(None, "", f"its media root {tmp_path / 'no'} is not a folder")]


def test_file_that_does_not_decode_is_a_fault_of_its_row(corpus, tmp_path):
    told = check(corpus(["a.mp4", "missing.mp4"]), decode=5)

    assert told["decoded"] == 1
    assert [(row, what.split(":")[0]) for row, _, what in told["faults"]] == [
        (1, f"no file 'missing.mp4' under the media root {tmp_path}"),
        (0, "'a.mp4' does not decode"),
    ]


def test_made_clips_decode(made_set):
    told = check(made_set.root / "train_captions.json", decode=3)

    assert (told["decoded"], told["faults"]) == (3, [])


def test_task_of_an_evaluation_needs_choices_in_every_row(corpus):
    (fault,) = check(corpus(["a.mp4"]), choices=True)["faults"]

    assert fault == (
        0, "", "has no 'question' with 'candidates', which a task of an evaluation needs",
    )  # fmt: skip


def test_kind_that_is_declared_counts_for_every_item(corpus, tmp_path):
    opened = open_set(corpus(["c.gif"], key="image"), tmp_path, kind="gif")

    assert (opened.kind, opened.media_form, opened.items[0].kind) == ("video", "file", "video")


def test_folders_of_frames_are_seen_as_such_and_need_fps(corpus, tmp_path):
    path = corpus(["frames/1", "frames/2"])

    opened = open_set(path, tmp_path, fps=3)

    assert (opened.kind, opened.media_form, opened.fps) == ("video", "frames", 3)
    assert whole_faults(path) == [
        "its media are folders of frames; give `fps`, how many of them make a second"
    ]


def test_fps_for_a_set_of_files_is_a_fault(corpus, tmp_path):
    assert whole_faults(corpus(["a.mp4", "b.mp4"]), fps=3) == [
        f"`fps` is for folders of frames, and 'a.mp4' under the media root {tmp_path} is none"
    ]


def test_file_among_folders_and_folder_among_files_are_faults(corpus, tmp_path):
    assert whole_faults(corpus(["frames/1", "a.mp4"]), fps=3) == [
        f"'a.mp4' under the media root {tmp_path} is no folder, others are"
    ]
    assert whole_faults(corpus(["a.mp4", "frames/1"])) == [
        f"'frames/1' under the media root {tmp_path} is a folder, others are files"
    ]


def test_declared_kind_that_contradicts_the_rows_is_refused(corpus):
    text = corpus([], name="text.json")
    text.write_text('[{"QA": [{"a": "x"}]}]')

    assert whole_faults(corpus(["a.mp4"]), kind="text") == [
        "names media, but the pipeline file says `kind: text`"
    ]
    assert whole_faults(text, kind="image") == [
        "names no media, but the pipeline file says `kind: image`"
    ]


def test_sets_are_named_by_what_tells_them_apart(corpus, tmp_path):
    names = ("vqa/gqa/train.json", "vqa/okvqa/train.json", "caption/coco.json")
    data = [{"annotations": corpus(["a.mp4"], name=n), "media": tmp_path} for n in names]
    data += [data[2], data[0] | {"name": "mine"}]

    opened = open_sets(tuple(DataSet.model_validate(one) for one in data))

    assert [one.name for one in opened] == ["gqa/train", "okvqa/train", "coco", "coco (4)", "mine"]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"kind": "frames"}, "kind: frames needs fps"),
        ({"kind": "video", "fps": 3}, "fps is for kind: frames, not for video"),
    ],
)
def test_fps_belongs_to_frames_alone(wrong, what):
    with pytest.raises(ValueError, match=what):
        DataSet.model_validate({"annotations": "a.json"} | wrong)


def test_check_of_the_structure_loads_nothing_of_the_train_extra(corpus):
    path = corpus(["a.mp4"])
    code = (
        "import sys; from jobs.data.check import main\n"
        f"main(['--set', '{{\"annotations\": \"{path}\"}}', '--name', 'x'])\n"
        "print(sorted({'torch', 'numpy', 'av', 'decord'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )

    told, loaded = done.stdout.splitlines()
    assert (json.loads(told)["rows"], loaded) == (1, "[]")
