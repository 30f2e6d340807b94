"""Answers kept on the disk."""

import json
from dataclasses import replace

import pytest

from jobs.contract.manifest import Manifest, describe, write_manifest
from jobs.contract.paths import AttemptKey
from jobs.contract.task import StageTask
from jobs.distributed import Place
from jobs.evaluation.answers import (
    AnswerLog,
    answers_folder,
    as_text,
    fingerprint_of,
    read_answers,
)
from jobs.job import Job
from jobs.stop import StopFlag


@pytest.fixture
def job(material, run) -> Job:
    """The second rank of an attempt at an evaluation; its parent has weights."""
    parent = run.stage("s3").checkpoint(7, final=True)
    parent.mkdir(parents=True)
    _write_weights(parent, b"weights")
    tasks = [{"name": "colour", "annotations": str(material.clips / "test_colour.json")}]
    spec = material.spec("ev", init_from="s3", evaluate={"tasks": tasks})
    place = Place(AttemptKey("12", 0), 1, 1, 2, ("127.0.0.1",))
    return Job(StageTask(run.root, "ev", 1, "t"), spec, run, place, StopFlag(), None)


def test_answers_are_read_back_whichever_rank_and_attempt_gave_them(job):
    AnswerLog(job, "f").write("colour", {3: {"pred": "(A) red"}})
    later = replace(job, place=replace(job.place, rank=0, attempt=AttemptKey("12", 1)))
    AnswerLog(later, "f").write("colour", {0: {"pred": "(B) blue"}})

    found = read_answers(answers_folder(job).iterdir(), "f")

    assert found == {("colour", 3): {"pred": "(A) red"}, ("colour", 0): {"pred": "(B) blue"}}


def test_line_cut_off_by_a_kill_is_not_an_answer(job):
    log = AnswerLog(job, "f")
    log.write("colour", {3: {"pred": "(A) red"}, 4: {"pred": "(B) blue"}})
    (path,) = answers_folder(job).iterdir()
    whole = path.read_bytes()

    counts = []
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        counts.append(len(read_answers([path], "f")))

    # A line without its line end alone is whole, too.
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    assert counts == [
        sum(size >= end for end in ends[1:]) if size > ends[0] else 0 for size in range(len(whole))
    ]


def test_answers_to_other_questions_are_not_read(job):
    AnswerLog(job, "other").write("colour", {3: {"pred": "(A) red"}})

    assert read_answers(answers_folder(job).iterdir(), "f") == {}


def test_answers_of_a_checkpoint_are_read_like_a_ranks(tmp_path):
    answers = {("colour", 3): {"pred": "(A) ro\nt"}, ("a: rerank", 0): {"1": -0.125}}
    path = tmp_path / "answers.jsonl"
    path.write_text(as_text(answers, "f"))

    assert read_answers([path], "f") == answers


def test_fingerprint_follows_weights_settings_and_questions(job, material, tmp_path):
    questions = tmp_path / "colour.json"
    questions.write_text((material.clips / "test_colour.json").read_text())
    job = _with_task(job, annotations=questions)
    seen = [fingerprint_of(job), fingerprint_of(_with(job, workers=7))]

    seen.append(fingerprint_of(_with(job, frames=3)))
    questions.write_text(json.dumps(json.loads(questions.read_text())[:5]))
    seen.append(fingerprint_of(job))
    _write_weights(job.run.stage("s3").checkpoint(7, final=True), b"others!")
    seen.append(fingerprint_of(job))

    assert seen[0] == seen[1]
    assert len(set(seen)) == 4


def _write_weights(folder, content: bytes) -> None:
    (folder / "weights.safetensors").write_bytes(content)
    file = describe(folder / "weights.safetensors", "weights.safetensors")
    write_manifest(folder, Manifest(step=7, files=(file,), weights=file.name, final=True))


def _with(job: Job, **settings) -> Job:
    evaluate = job.spec.evaluate.model_copy(update=settings)
    return replace(job, spec=job.spec.model_copy(update={"evaluate": evaluate}))


def _with_task(job: Job, **settings) -> Job:
    (task,) = job.spec.evaluate.tasks
    return _with(job, tasks=(task.model_copy(update=settings),))
