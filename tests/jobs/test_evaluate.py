"""Multiple choice: counting, and a stage that does it."""

import json
import signal

import pytest
import torch

from jobs.build import model_config
from jobs.contract.manifest import done_marker
from jobs.data.items import ChoiceItem
from jobs.data.sampler import RankShare
from jobs.data.tokenizer import build_tokenizer
from jobs.evaluate import Score, majority_of, rounds_of, total_of
from model.language_model import build_language_model
from tests.jobs.running import run_stage, started


def item(answer="up", candidates=("left", "up", "down")) -> ChoiceItem:
    """A question whose answer is (B) unless told otherwise."""
    return ChoiceItem("video", "a.mp4", "which way?", candidates, answer)


def test_average_counts_questions_not_tasks():
    scores = [Score("a", 1, 2, 1), Score("b", 8, 8, 5)]

    average = total_of(scores)

    assert (average, average.accuracy) == (Score("average", 9, 10, 6), 0.9)


def test_majority_is_the_most_frequent_answer_whatever_its_letter():
    items = [item("up"), item("up", ("up", "left")), item("left")]

    assert (majority_of(items), majority_of([])) == (2, 0)


@pytest.mark.parametrize(
    ("samples", "rounds"), [(0, 0), (1, 1), (8, 1), (9, 2), (12, 2), (13, 2), (16, 2), (17, 3)]
)
def test_rounds_are_the_batches_of_the_rank_with_the_most(samples, rounds):
    dealt = [len(range(rank, samples, 2)) for rank in range(2)]

    assert rounds_of(samples, RankShare(0, 2, 4)) == rounds == max(-(-n // 4) for n in dealt)


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
    rows = json.loads((folder / "results.json").read_text())

    assert [file.name for file in manifest.files] == ["results.json"]
    assert tuple(rows) == evaluated[2].story.metrics


@pytest.mark.slow
def test_two_ranks_give_the_same_score_as_one(evaluated):
    assert evaluated[1].codes == [0]
    assert evaluated[2].story.metrics == evaluated[1].story.metrics
    assert 0 < evaluated[1].story.metrics[2]["correct"] < 26


@pytest.mark.slow
def test_evaluation_stops_between_two_batches_and_starts_over(chain):
    plain = chain.specs["ev"].evaluate
    tasks = (plain.tasks[0], *[plain.tasks[1]] * 5)
    evaluate = plain.model_copy(update={"tasks": tasks, "batch_per_gpu": 1})
    spec = chain.specs["ev"].model_copy(update={"stage": "stopped", "evaluate": evaluate})

    with started(chain.run, spec) as attempt:
        attempt.wait_until(lambda: attempt.events("metric"))
        attempt.send(signal.SIGTERM, ranks=[1])
        attempt.wait()

    assert (attempt.codes, attempt.story.outcome, attempt.story.last_step) == (
        [75, 75],
        "stopped",
        0,
    )
    assert len(attempt.events("metric")) < len(tasks)
    assert not attempt.folder.checkpoints.exists()
