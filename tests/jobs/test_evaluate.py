"""Multiple choice: counting, and a stage that does it."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from jobs.build import model_config
from jobs.contract.manifest import done_marker
from jobs.data.dataset import READ_TIMEOUT_S
from jobs.data.tokenizer import build_tokenizer
from model.language_model import build_language_model
from tests.jobs.running import run_stage, started

MANY = 40
"""Times the rows of a set, so that they last."""
CALM_S = 4.0


@pytest.fixture(scope="session")
def opinionated(material, tmp_path_factory):
    """Folder of a language model that says A or B, depending on what it read."""
    config = model_config(material.spec("ev").model)
    torch.manual_seed(5)
    language_model = build_language_model(config.language_model)
    vocabulary = build_tokenizer().get_vocab()
    with torch.no_grad():
        head = language_model.get_output_embeddings().weight
        direction = torch.randn(head.shape[1])
        head.zero_()
        head[vocabulary["a"]], head[vocabulary["b"]] = direction, -direction
    folder = tmp_path_factory.mktemp("opinionated")
    language_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def evaluated(chain, opinionated):
    """The evaluation of the chain with that language model: by two ranks, then by one."""
    plain = chain.specs["ev"]
    model = plain.model.model_copy(update={"language_model": opinionated})
    specs = [plain.model_copy(update={"stage": f"ev{ranks}", "model": model}) for ranks in (2, 1)]
    return {
        ranks: run_stage(chain.run, spec, ranks=ranks)
        for ranks, spec in zip((2, 1), specs, strict=True)
    }


@pytest.mark.slow
def test_evaluation_tells_each_task_and_the_average(evaluated):
    metrics = evaluated[2].story.metrics
    told = [(metric["name"], metric["total"]) for metric in metrics]

    assert told == [("direction", 13), ("colour", 13), ("average", 26)]
    assert metrics[2]["correct"] == metrics[0]["correct"] + metrics[1]["correct"]
    assert all(metric["value"] == metric["correct"] / metric["total"] for metric in metrics)


@pytest.mark.slow
def test_evaluation_leaves_its_results_in_the_final_checkpoint(evaluated, chain):
    folder, manifest = done_marker(chain.run.stage("ev2").checkpoints, digests=True)
    rows, upload, every = (json.loads((folder / file.name).read_text()) for file in manifest.files)

    assert [file.name for file in manifest.files] == [
        "results.json",
        "upload_leaderboard.json",
        "all_results.json",
    ]
    assert tuple(rows) == evaluated[2].story.metrics
    assert upload == {
        "direction": 100 * rows[0]["value"],
        "colour": 100 * rows[1]["value"],
        "Avg": 100 * rows[2]["value"],
    }
    assert every["acc_dict"] == {row["name"]: [row["correct"], 13] for row in rows[:2]}
    assert len(every["res_list"]) == 26


@pytest.mark.slow
def test_two_ranks_give_the_same_score_as_one(evaluated):
    assert evaluated[1].codes == [0]
    assert evaluated[2].story.metrics == evaluated[1].story.metrics
    assert 0 < evaluated[1].story.metrics[2]["correct"] < 26


@pytest.fixture(scope="session")
def interrupted(chain, opinionated):
    """An evaluation of six parts that is killed, then stopped, then ended by one rank."""
    plain = chain.specs["ev"]
    model = plain.model.model_copy(update={"language_model": opinionated})
    task = plain.evaluate.tasks[0]
    tasks = tuple(task.model_copy(update={"name": f"direction {number}"}) for number in range(6))
    evaluate = plain.evaluate.model_copy(update={"tasks": tasks, "batch_per_gpu": 1})
    spec = plain.model_copy(update={"stage": "broken", "model": model, "evaluate": evaluate})
    with started(chain.run, spec) as killed:
        killed.wait_until(lambda: killed.events("metric"))
        killed.kill()
        killed.wait()
    cut_off(sorted((killed.folder.root / "answers").iterdir())[0])
    left = sum(len(whole_lines(path)) - 1 for path in (killed.folder.root / "answers").iterdir())
    shutil.rmtree(killed.folder.checkpoints)  # as if the kill had come before the first
    with started(chain.run, spec) as stopped:
        stopped.wait_until(lambda: len(stopped.events("metric")) >= 3)
        stopped.send(signal.SIGTERM, ranks=[1])
        stopped.wait()
    return left, stopped, run_stage(chain.run, spec, ranks=1)


def cut_off(answers: Path) -> None:
    """Cuts into the last line, as a kill in the middle of writing does."""
    content = answers.read_bytes()
    answers.write_bytes(content[:-9])


@pytest.mark.slow
def test_stopped_evaluation_saves_between_two_batches_what_is_answered(interrupted):
    _, stopped, _ = interrupted
    story, saved = stopped.story, stopped.events("checkpoint")[-1].fields

    assert (stopped.codes, story.outcome) == ([75, 75], "stopped")
    assert story.last_step == saved["step"] == story.saved_step
    assert 39 <= story.last_step < 78
    assert not saved["final"]


@pytest.mark.slow
def test_killed_evaluation_goes_on_with_what_was_answered(interrupted):
    left, stopped, _ = interrupted

    assert 12 <= left < 78
    assert stopped.story.first_step == left


@pytest.mark.slow
def test_resumed_evaluation_asks_only_the_rest_on_another_number_of_ranks(interrupted):
    _, stopped, ended = interrupted
    files = (ended.folder.root / "answers").iterdir()
    rows = [json.loads(line) for file in files for line in whole_lines(file)[1:]]
    asked = sorted((row["part"], row["index"]) for row in rows)

    assert asked == [(f"direction {task}", index) for task in range(6) for index in range(13)]
    assert ended.story.first_step == stopped.story.last_step
    assert (ended.story.last_step, ended.story.total_steps) == (78, 78)


@pytest.mark.slow
def test_resumed_evaluation_ends_as_an_undisturbed_one(interrupted, evaluated):
    *_, ended = interrupted
    whole = evaluated[1].story.metrics[0]

    assert (ended.codes, ended.story.outcome) == ([0], "done")
    assert ended.story.metrics[:6] == tuple(
        whole | {"name": f"direction {number}"} for number in range(6)
    )


@pytest.fixture
def many(chain, opinionated, tmp_path):
    """An evaluation of one part with many rows, and the folder of its clips."""
    plain = chain.specs["ev"]
    task = plain.evaluate.tasks[0]
    clips = tmp_path / "clips"
    shutil.copytree(task.media or task.annotations.parent, clips)
    annotations = clips / task.annotations.name
    annotations.write_text(json.dumps(json.loads(annotations.read_text()) * MANY))
    task = task.model_copy(update={"annotations": annotations, "media": None})
    model = plain.model.model_copy(update={"language_model": opinionated})
    evaluate = plain.evaluate.model_copy(update={"tasks": (task,), "batch_per_gpu": 1})
    return plain.model_copy(update={"model": model, "evaluate": evaluate}), clips


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_stop_waits_for_no_clip_that_hangs_and_takes_none_for_answered(
    chain, evaluated, many, workers, tmp_path
):
    plain, clips = many
    evaluate = plain.evaluate.model_copy(update={"workers": workers})
    spec = plain.model_copy(update={"stage": f"hangs{workers}", "evaluate": evaluate})
    shutil.copytree(clips, tmp_path / "whole")

    def answered():
        files = (stopped.folder.root / "answers").glob("*")
        return sum(len(whole_lines(path)) - 1 for path in files)

    with started(chain.run, spec) as stopped:
        stopped.wait_until(lambda: answered() >= 4)
        for clip in clips.rglob("*.*"):
            if clip.suffix in (".mp4", ".webm"):
                os.mkfifo(clip.with_suffix(".fifo"))  # nobody writes to it
                clip.with_suffix(".fifo").rename(clip)
        time.sleep(CALM_S)
        before = answered()
        began = time.monotonic()
        stopped.send(signal.SIGTERM)
        stopped.wait()
        took_s = time.monotonic() - began

    assert 4 <= before < 13 * MANY
    assert (stopped.codes, stopped.story.outcome) == ([75, 75], "stopped")
    assert stopped.story.last_step == answered()
    assert took_s < READ_TIMEOUT_S / 2

    shutil.rmtree(clips)
    (tmp_path / "whole").rename(clips)
    ended = run_stage(chain.run, spec)
    assert ended.story.first_step == stopped.story.last_step
    assert ended.story.metrics[0]["correct"] == MANY * evaluated[1].story.metrics[0]["correct"]


def whole_lines(path: Path) -> list[str]:
    """The lines of a file, without one that is cut off."""
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
