"""Stages that evaluate what is not stage 3: retrieval by stage 1, captions by stage 2, MVBench."""

import json

import pytest

from jobs.contract.manifest import done_marker
from tests.jobs.mvbench import make_mvbench
from tests.jobs.running import run_stage

pytestmark = pytest.mark.slow


def final_file(chain, stage: str, name: str):
    """What a stage's final checkpoint holds in a JSON file."""
    folder, _ = done_marker(chain.run.stage(stage).checkpoints, digests=True)
    return json.loads((folder / name).read_text())


def evaluation(chain, stage: str, parent: str, *, ranks: int = 1, **settings):
    """Runs an evaluation of a stage of the chain."""
    plain = chain.specs["ev"]
    usual = {"batch_per_gpu": 4, "workers": 0, "max_new_tokens": 4}
    changes = {"stage": stage, "parents": (parent,), "init_from": parent}
    spec = type(plain).model_validate(plain.model_dump() | changes | {"evaluate": usual | settings})
    return run_stage(chain.run, spec, ranks=ranks)


def test_stage_1_is_asked_to_retrieve(chain, material):
    task = {"name": "pairs", "annotations": material.clips / "train_pairs.json"}

    attempt = evaluation(
        chain, "found", "s1", ranks=2, kind="retrieval", tasks=[task], rerank=3, limit=13
    )

    rows = final_file(chain, "found", "results.json")
    assert attempt.codes == [0, 0]
    assert [row["name"] for row in rows] == [
        f"pairs {way} R@{depth}" for way in ("clip to text", "text to clip") for depth in (1, 5, 10)
    ]
    assert all(row["value"] == row["correct"] / row["total"] for row in rows)
    assert (rows[0]["total"], attempt.story.total_steps) == (13, 26)
    # Of at most 13 places the first ten hold one by chance alone.
    assert rows[0]["correct"] <= rows[1]["correct"] <= rows[2]["correct"] > 0
    assert attempt.story.metrics == tuple(rows)


def test_stage_2_is_asked_to_caption(chain, material):
    task = {"name": "clips", "annotations": material.clips / "train_captions.json"}

    attempt = evaluation(chain, "said", "s2", kind="captions", tasks=[task], frames=2, limit=5)

    given = json.loads((material.clips / "train_captions.json").read_text())[:5]
    rows = final_file(chain, "said", "captions.json")
    assert attempt.codes == [0]
    assert [(row["file"], row["reference"]) for row in rows] == [
        (row["video"], row["caption"]) for row in given
    ]
    assert all(isinstance(row["generated"], str) for row in rows)
    assert [metric["total"] for metric in attempt.story.metrics] == [5, 5]


def test_mvbench_is_asked_as_it_is_published(chain, material, tmp_path):
    root = make_mvbench(tmp_path / "mvbench", material.clips)

    attempt = evaluation(chain, "mvbench", "s3", tasks="mvbench", root=root, frames=2)

    upload = final_file(chain, "mvbench", "upload_leaderboard.json")
    every = final_file(chain, "mvbench", "all_results.json")
    assert attempt.codes == [0]
    assert (len(upload), list(upload)[-1]) == (21, "Avg")
    assert set(every["acc_dict"]) == set(upload) - {"Avg"}
    assert [counts[1] for counts in every["acc_dict"].values()] == [2] * 20
    assert len(every["res_list"]) == 40
    assert attempt.left_out() == []
