"""A stage that takes two to four nodes, on the real Slurm, which takes nodes away and gives back.

One run tells all: it starts on four nodes, loses one, is sent on when another is drained, and gets
all four again. It stays one job all the way.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.queries import events_of
from db.schema import Attempt
from launcher.cluster import SlurmCluster
from launcher.pipeline import load_pipeline
from launcher.show.status import status_table
from launcher.view import StageView, view_stages
from tests.cluster.followed import Followed, cancel_all, submitting
from tests.cluster.slurm_cluster import SlurmCluster as Daemons

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

RANKS = """
import json, os, pathlib, signal, sys, time
out, told, asked = pathlib.Path(sys.argv[1]), sys.argv[2:], []
signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
step = 0
if "LAUNCHER_RESUME" in os.environ:
    step = json.loads((pathlib.Path(os.environ["LAUNCHER_RESUME"]) / "step.json").read_text())
names = ("RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_JOB_NUM_NODES", "SLURMD_NODENAME")
ranks = out / ("restart-" + os.environ["LAUNCHER_ATTEMPT"].rpartition(".")[2])
ranks.mkdir(exist_ok=True)
text = json.dumps([*told, *(os.environ[name] for name in names)])
(ranks / f"{os.environ['RANK']}.json").write_text(text)
while not asked and not (out / "finish").exists():
    time.sleep(0.05)
    step += 1
    print("step", step, flush=True)
if os.environ["RANK"] == "0":
    (out / f"saved-{step}").mkdir()
    (out / f"saved-{step}" / "step.json").write_text(json.dumps(step))
"""
"""Each rank writes down its place; the first one saves when it is told to end, and at its end."""

TEXT = """\
name: elastic
cluster: {backend: slurm, partition: preempt, nodes: 2-4, gpus_per_node: 2, time_limit: 10m}
stages:
  ranks:
    command:
      argv: [PYTHON, ranks.py, "{checkpoints}", "{nodes}", "{world_size}", "{master_addr}"]
      checkpoints: {glob: "{checkpoints}/saved-*", complete_when: step.json, every_s: 0.2}
      progress: {match: 'step (?P<step>[0-9]+)', every_s: 0.2}
      stop: {grace_s: 8}
"""


@dataclass(frozen=True)
class Story:
    """What is left of the run.

    Attributes:
        run: The run.
        attempts: Its attempts as the ledger has them.
        lost: The stage after the loss, as `status` shows it.
        found: What the ranks of each attempt found: nodes, ranks and first node by the names in
            the command line, then RANK, WORLD_SIZE and what Slurm calls them, and the node.
    """

    run: Followed
    attempts: list[Attempt]
    lost: StageView
    found: list[list[list[str]]]


@pytest.fixture(scope="module")
def story(slurm: Daemons, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "ranks.py").write_text(RANKS)
    (folder / "pipeline.yaml").write_text(TEXT.replace("PYTHON", sys.executable))
    run = submitting(load_pipeline(folder / "pipeline.yaml", environ={}), SlurmCluster())
    output = run.folder("ranks").root / "output"
    try:
        _wait_for_ranks(slurm, output, restart=0, ranks=8)
        run.pass_once()
        _lose(slurm, "node4")
        _wait_for_ranks(slurm, output, restart=1, ranks=6)
        run.pass_once()
        lost = view_stages(list(run.rows.values()), {})[0]
        slurm.run("scontrol", "update", "nodename=node2", "state=drain", "reason=test")
        _send_on(slurm, run)
        _wait_for_ranks(slurm, output, restart=2, ranks=4)
        run.pass_once()
        _give_back(slurm)
        _send_on(slurm, run)
        _wait_for_ranks(slurm, output, restart=3, ranks=8)
        (output / "finish").touch()
        run.until_done()
        # A moment later Slurm knows the end of the job as well.
        run.until(lambda _: run.rows["ranks"].attempts[-1].ended_at is not None)
        found = [_places(output, restart) for restart in range(4)]
        yield Story(run, run.rows["ranks"].attempts, lost, found)
    finally:
        _give_back(slurm)
        cancel_all()
        slurm.wait_until_idle()


def _wait_for_ranks(slurm: Daemons, output: Path, *, restart: int, ranks: int) -> None:
    """Waits until so many ranks have said where they are."""
    what = f"{ranks} ranks of restart {restart} are there"
    slurm.wait(lambda: len(_places(output, restart)) == ranks, what)


def _places(output: Path, restart: int) -> list[list[str]]:
    files = sorted((output / f"restart-{restart}").glob("*.json"))
    return [json.loads(text) for path in files if (text := path.read_text())]


def _lose(slurm: Daemons, node: str) -> None:
    """Takes a node down for good: drained, it does not come back by itself."""
    for state in ("drain", "down"):
        slurm.run("scontrol", "update", f"nodename={node}", f"state={state}", "reason=test")


def _give_back(slurm: Daemons) -> None:
    away = slurm.run("sinfo", "-h", "-N", "-t", "drain,down", "-o", "%N").split()
    for node in sorted(set(away)):
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume")


def _send_on(slurm: Daemons, run: Followed) -> None:
    """Tells the job to save and stop, as a preemption does; it puts itself back."""
    slurm.run("scancel", "--signal=TERM", run.rows["ranks"].submissions[-1].slurm_id or "")


def test_job_goes_on_with_what_nodes_there_are_under_the_same_id(story: Story) -> None:
    told = [(attempt.restart, attempt.num_nodes) for attempt in story.attempts]

    assert told == [(0, 4), (1, 3), (2, 2), (3, 4)]
    assert len(story.run.rows["ranks"].submissions) == 1


def test_each_rank_knows_its_place_among_those_that_came(story: Story) -> None:
    four = ("node1", "node2", "node3", "node4")
    nodes = [four, ("node1", "node2", "node3"), ("node1", "node3"), four]

    assert story.found == [_expected(there) for there in nodes]


def _expected(nodes: Sequence[str]) -> list[list[str]]:
    """What two ranks on each of these nodes should find, by their numbers."""
    count, ranks = str(len(nodes)), str(2 * len(nodes))
    return [
        [count, ranks, nodes[0], str(2 * at + rank), ranks, ranks, count, node]
        for at, node in enumerate(nodes)
        for rank in range(2)
    ]


def test_gpu_time_counts_the_gpus_that_each_attempt_had(story: Story) -> None:
    for attempt in story.attempts:
        assert attempt.wall_clock_s
        assert attempt.gpu_s == attempt.wall_clock_s * 2 * (attempt.num_nodes or 0)


def test_no_step_is_lost_on_the_way_down_and_up(story: Story) -> None:
    assert [attempt.steps_lost for attempt in story.attempts] == [0, 0, 0, 0]
    assert story.attempts[0].cause == "node failure"


def test_status_and_events_tell_how_many_nodes_it_has(story: Story) -> None:
    table = status_table([story.lost])
    column = next(each for each in table.columns if each.header == "nodes")
    with story.run.ledger.read() as session:
        told = [
            event.text for event in events_of(session, story.lost.run) if event.kind == "resized"
        ]

    job = story.lost.slurm_id
    assert list(column.cells) == ["3 of 2-4"]
    assert told == [
        f"ranks: job {job} goes on with 3 of 2-4 nodes, before 4",
        f"ranks: job {job} goes on with 2 of 2-4 nodes, before 3",
        f"ranks: job {job} goes on with 4 of 2-4 nodes, before 2",
    ]
