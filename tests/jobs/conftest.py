"""A small set of clips, and the four stages run on it once."""

from dataclasses import dataclass

import pytest

from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from tests.jobs.running import Attempt, Material, extensions, run_stage

EVALUATION = {
    "evaluate": {
        "frames": 2,
        "batch_per_gpu": 4,
        "workers": 0,
        "instruction": "watch the video.",
        "max_new_tokens": 4,
    }
}
TASKS = ("direction", "colour")


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Material:
    root = tmp_path_factory.mktemp("material")
    make_set(root / "clips", train=48, test=13, seed=3)
    build_tokenizer().save_pretrained(root / "tokenizer")
    return Material(root / "clips", root / "tokenizer")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@dataclass(frozen=True)
class Chain:
    """The stages that were run to their end, with two ranks each."""

    run: RunFolder
    specs: dict[str, StageSpec]
    attempts: dict[str, Attempt]


def chain_specs(material: Material) -> list[StageSpec]:
    tasks = [
        {"name": name, "annotations": str(material.clips / f"test_{name}.json")} for name in TASKS
    ]
    stage1 = material.train(
        "stage1", "train_pairs.json", epochs=3, checkpoint={"every": 4, "keep": 2}
    )
    return [
        material.spec("s1", **stage1),
        material.spec(
            "s2",
            parents=("s1",),
            init_from="s1",
            **material.train("stage2", "train_captions.json", max_steps=3),
        ),
        material.spec(
            "s3",
            parents=("s2",),
            init_from="s2",
            **material.train("stage3", "train_qa.json", max_steps=3, zero_stage=2, recompute=True),
        ),
        material.spec(
            "ev",
            parents=("s3",),
            init_from="s3",
            evaluate=EVALUATION["evaluate"] | {"tasks": tasks},
        ),
    ]


@pytest.fixture(scope="session")
def chain(material, tmp_path_factory) -> Chain:
    run = RunFolder(tmp_path_factory.mktemp("chain"))
    # Left behind by a compilation that was killed.
    lock = extensions(run) / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    specs = chain_specs(material)
    attempts = {spec.stage: run_stage(run, spec) for spec in specs}
    return Chain(run, {spec.stage: spec for spec in specs}, attempts)
