"""A training stage of one or two nodes, on the real Slurm, which takes one of two away for good."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jobs.contract.events import read_events
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import StageSpec
from jobs.data.tokenizer import build_tokenizer
from jobs.data.world import scenes
from launcher.cluster import SlurmCluster
from launcher.pipeline import load_pipeline
from tests.cluster.followed import Followed, cancel_all, submitting
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.jobs.running import TINY, run_stage

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STEPS, LOST_AT = 150, 3
TOLERANCE = 1e-4
"""Largest relative difference of a loss: the sums are rounded otherwise on one rank than on two."""


@pytest.fixture
def two_nodes(slurm: Daemons) -> Iterator[Daemons]:
    """The cluster with two of its nodes drained."""
    slurm.run("scontrol", "update", "nodename=node[3-4]", "state=drain", "reason=test")
    yield slurm
    away = slurm.run("sinfo", "-h", "-N", "-t", "drain,down", "-o", "%N").split()
    for node in sorted(set(away)):
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume")
    cancel_all()
    slurm.wait_until_idle()


def test_training_that_loses_one_of_two_nodes_goes_on_alone_with_the_losses_of_both(
    two_nodes: Daemons, tmp_path: Path
) -> None:
    run = submitting(load_pipeline(_pipeline(tmp_path), environ={}), SlurmCluster())
    job = run.rows["text"].submissions[-1].slurm_id or ""
    two_nodes.wait(
        lambda: max(_losses(run, job, 0), default=0) >= LOST_AT, "two nodes train", limit_s=240
    )

    for state in ("drain", "down"):  # drained, it does not come back by itself
        two_nodes.run("scontrol", "update", "nodename=node2", f"state={state}", "reason=test")
    run.until_done(limit_s=240)

    first, second = run.rows["text"].attempts
    assert (first.num_nodes, second.num_nodes) == (2, 1)
    assert (first.steps_lost, second.steps_lost) == (0, 0)
    assert (first.slurm_id, second.slurm_id, second.first_step) == (job, job, first.last_step)
    found = _losses(run, job, 0) | _losses(run, job, 1)
    assert list(found) == list(range(1, STEPS + 1))
    assert found == pytest.approx(_losses_of_two(run, tmp_path), rel=TOLERANCE)


def _pipeline(folder: Path) -> Path:
    """A tiny language model on lines of text, each of a length of its own."""
    build_tokenizer().save_pretrained(folder / "tokenizer")
    rows = [
        {"QA": [{"q": "what is there ?", "a": " ".join([scene.colour] * (1 + at % 9))}]}
        for at, scene in enumerate(scenes())
    ]
    (folder / "text.json").write_text(json.dumps(rows))
    text = {
        "entry": "language_model",
        "epochs": 1000,
        "max_steps": STEPS,
        "lr": 1e-4,
        "global_batch": 8,
        "batch_per_gpu": 2,
        "workers": 0,
        "log_every_s": 1e-6,
        "data": [{"annotations": str(folder / "text.json")}],
    }
    cluster = {
        "backend": "slurm",
        "partition": "preempt",
        "nodes": "1-2",
        "gpus_per_node": 1,
        "time_limit": "10m",
    }
    model = {"preset": "tiny", "tokenizer": str(folder / "tokenizer"), "overrides": TINY}
    whole = {"name": "elastic", "model": model, "cluster": cluster}
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(whole | {"stages": {"text": {"train": text}}}))
    return path


def _losses(run: Followed, job: str, restart: int) -> dict[int, float]:
    """By step, as an attempt has told them."""
    told = read_events(run.folder("text").events_file(AttemptKey(job, restart)))
    return {each.fields["step"]: each.fields["loss"] for each in told if each.kind == "step"}


def _losses_of_two(run: Followed, folder: Path) -> dict[int, float]:
    """Of the same stage on two ranks that nobody disturbs."""
    spec = StageSpec.read(run.folder("text").spec)
    alone = spec.model_copy(update={"nodes": 1})
    attempt = run_stage(RunFolder(folder / "undisturbed"), alone, ranks=2)
    assert attempt.codes == [0, 0], attempt.log(0)[-3000:]
    return {each.fields["step"]: each.fields["loss"] for each in attempt.events("step")}
