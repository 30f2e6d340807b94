"""Small pipeline files for the tests of the launcher."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from launcher.errors import UsageError
from launcher.pipeline import Pipeline, load_pipeline

GOOD = """\
name: demo
model: {preset: tiny}
cluster:
  nodes: 2
  gpus_per_node: 4
  time_limit: 12h
stages:
  first:
    reuse: weights/first.pth
  second:
    needs: [first]
    expect: {epoch: 90m}
    train:
      entry: stage2
      epochs: 2
      lr: 1e-4
      global_batch: 64
      batch_per_gpu: 4
      data: [{annotations: data/a.json, media: data/a}]
  third:
    needs: [second]
    cluster: {nodes: 1, mem: 512M}
    expect: {total: 20m}
    evaluate:
      tasks: [{name: Moving, annotations: data/moving.json}]
"""


def load(folder: Path, text: str = GOOD, overrides: Sequence[str] = ()) -> Pipeline:
    """The pipeline of `text`, put into `folder` as `p.yaml`."""
    (folder / "p.yaml").write_text(text, encoding="utf-8")
    return load_pipeline(folder / "p.yaml", overrides, environ={})


def faults(folder: Path, text: str = GOOD, overrides: Sequence[str] = ()) -> list[str]:
    """What is wrong with `text`, without the folder's name."""
    with pytest.raises(UsageError) as caught:
        load(folder, text, overrides)
    return [line.replace(f"{folder}/", "") for line in caught.value.faults]
