"""A real training of two ranks, one of which sleeps: found, dumped, ended, and done elsewhere."""

import os
import signal
from pathlib import Path

import pytest
import yaml

from db.passes import quarantined
from jobs.contract.paths import AttemptKey
from jobs.contract.story import read_story
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from launcher.cluster import SlurmCluster
from launcher.pipeline import Pipeline
from tests.cluster.followed import Followed, newest_step, submitting
from tests.cluster.processes import processes_of, send
from tests.cluster.slurm_cluster import SlurmCluster as Daemons
from tests.jobs.running import TINY
from tests.launcher.pipelines import load

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def training(folder: Path) -> Pipeline:
    """Stage 1 of a tiny model on two nodes, that counts as hung after 10 s without a step."""
    make_set(folder / "clips", train=24, test=13, seed=3)
    build_tokenizer().save_pretrained(folder / "tokenizer")
    train = {
        "entry": "stage1",
        "lr": 1e-3,
        "global_batch": 8,
        "frames": 2,
        "workers": 0,
        "max_text_tokens": 160,
        "log_every_s": 1e-6,
        "epochs": 20,
        "checkpoint": {"every": 4},
        "data": [{"annotations": "clips/train_pairs.json"}],
    }
    text = {
        "name": "hang",
        "model": {"preset": "tiny", "tokenizer": "tokenizer", "overrides": TINY},
        "cluster": {
            "backend": "slurm",
            "partition": "preemptcancel",
            "nodes": 2,
            "gpus_per_node": 1,
            "time_limit": "10m",
        },
        "requeue": {"hang": "10s"},
        "stages": {"only": {"train": train}},
    }
    return load(folder, yaml.safe_dump(text))


def test_hung_training_is_dumped_ended_and_done_without_the_silent_node(
    slurm: Daemons, tmp_path: Path
) -> None:
    run = submitting(training(tmp_path), SlurmCluster())
    folder = run.folder("only")
    slurm.wait(lambda: newest_step(folder) >= 4, "a checkpoint", limit_s=90)
    slurm_id = run.rows["only"].submissions[0].slurm_id or ""

    send([p for p in processes_of(Path(os.environ["SLURM_CONF"])) if p.node == "node2"], STOP)
    run.until(lambda _: len(run.rows["only"].submissions) == 2, limit_s=60)
    first = run.rows["only"].attempts[0]
    run.until_done(limit_s=120)

    stacks = folder.stack_file(AttemptKey(slurm_id, 0), 0).read_text()
    assert "trainer.py" in stacks
    assert (first.cause, first.nodes) == ("hang", "node[1-2]")
    assert [s.rule for s in run.rows["only"].submissions] == [None, "hang"]
    assert run.rules[0] == ("only", "hang")
    last = run.rows["only"].attempts[-1]
    hosts = read_story(folder.events_file(AttemptKey(last.slurm_id, 0))).hosts
    assert (len(hosts), "node2" in hosts) == (2, False)
    assert (last.first_step or 0) >= 4
    assert last.last_step == 60
    assert [node for node, _ in bad_nodes(run)] == ["node2"]


STOP = signal.SIGSTOP


def bad_nodes(run: Followed) -> list[tuple[str, str]]:
    """Quarantined nodes, each with the reason."""
    with run.ledger.read() as session:
        return [(row.node, row.reason) for row in quarantined(session, "slurm", run.clock())]
