"""Clips made small, and a training that reads them, in one pipeline on this machine."""

import json
from pathlib import Path

import pytest

from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from tests.e2e.conftest import ROOT, Program
from tests.jobs.running import TINY

PIPELINE = """\
name: small
model: {{preset: tiny, tokenizer: {root}/tokenizer, overrides: {tiny}}}
cluster: {{backend: local, time_limit: 10m}}
stages:
  prepare:
    command:
      argv: ["{{python}}", -m, jobs.data.prepare, {root}/raw/train_pairs.json,
             --media, {root}/raw, --out, {root}/small]
      cwd: {cwd}
      checkpoints: none
      progress: '(?P<step>\\d+)/(?P<total>\\d+) media'
    cluster: {{tasks_per_node: 2}}
  train:
    needs: [prepare]
    train:
      entry: stage1
      lr: 1e-3
      global_batch: 4
      frames: 2
      workers: 0
      max_steps: 2
      data: [{{annotations: {root}/raw/train_pairs.json, media: {root}/small}}]
"""


@pytest.mark.slow
def test_stage_trains_on_what_the_stage_before_it_has_made(program: Program, tmp_path: Path):
    make_set(tmp_path / "raw", train=8, test=1, seed=3)
    build_tokenizer().save_pretrained(tmp_path / "tokenizer")
    text = PIPELINE.format(root=tmp_path, tiny=json.dumps(TINY), cwd=ROOT)
    (tmp_path / "p.yaml").write_text(text)

    done = program("submit", str(tmp_path / "p.yaml"))

    rows = {row["stage"]: row for row in program.status()}
    assert done.returncode == 0, done.stderr
    assert "small does not exist yet; prepare has to make it" in done.stderr
    assert {name: row["state"] for name, row in rows.items()} == {
        "prepare": "done",
        "train": "done",
    }
    assert (rows["train"]["step"], rows["prepare"]["total_steps"] is not None) == (2, True)
    for row in json.loads((tmp_path / "raw" / "train_pairs.json").read_text()):
        assert (tmp_path / "small" / row["video"]).is_file()
