"""Real trainings that know nothing of the launcher: torchrun, and Hugging Face's Trainer."""

import signal

import torch
from safetensors.torch import load_file

from jobs.contract.manifest import done_marker
from tests.jobs.programs import command_spec
from tests.jobs.running import run_stage, started

DISTRIBUTED = """
import argparse, os, time
import torch
import torch.distributed as dist

options = argparse.ArgumentParser()
options.add_argument("--out", required=True)
options.add_argument("--resume")
options = options.parse_args()

dist.init_process_group("gloo")
step, weights = 0, torch.zeros(4, dtype=torch.float64)
if options.resume:
    saved = torch.load(f"{options.resume}/state.pt")
    step, weights = saved["step"], saved["weights"]
while step < 60:
    gradient = torch.full((4,), float(step + dist.get_rank()), dtype=torch.float64)
    dist.all_reduce(gradient)
    weights = 0.9 * weights + gradient
    step += 1
    if dist.get_rank() == 0:
        print(f"step {step} of 60", flush=True)
        if step % 10 == 0:
            os.makedirs(f"{options.out}/epoch-{step}")
            torch.save({"step": step, "weights": weights}, f"{options.out}/epoch-{step}/state.pt")
    time.sleep(0.05)
dist.barrier()
os._exit(0)  # gloo may abort a Python that ends while its threads still hold tensors
"""

HUGGING_FACE = """
import time
import torch
from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer
from transformers import TrainingArguments

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4000

    def __getitem__(self, index):
        time.sleep(0.01)  # as reading does
        ids = (torch.arange(16) + index) % 32
        return {"input_ids": ids, "labels": ids}

(arguments,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
torch.manual_seed(arguments.seed)
config = GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2)
trainer = Trainer(model=GPT2LMHeadModel(config), args=arguments, train_dataset=Numbers())
trainer.train(resume_from_checkpoint=arguments.resume_from_checkpoint)
"""
"""As in the examples of transformers, smaller."""


def straight(ranks):
    """The weights of 60 steps of so many ranks without an interruption."""
    weights = torch.zeros(4, dtype=torch.float64)
    for step in range(60):
        weights = 0.9 * weights + (ranks * step + sum(range(ranks)))
    return weights


def distributed(folder):
    """The keys of `command` for two processes under torchrun."""
    script = folder / "distributed.py"
    script.write_text(DISTRIBUTED)
    torchrun = "--nnodes {nodes} --node_rank {node_rank} --nproc_per_node 2"
    rendezvous = "--master_addr {master_addr} --master_port {master_port}"
    words = f"{{python}} -m torch.distributed.run {torchrun} {rendezvous}".split()
    return {
        "argv": [*words, str(script), "--out", "{checkpoints}"],
        "when_resuming": ["--resume", "{resume}"],
        "cwd": str(folder),
        "checkpoints": {"glob": "{checkpoints}/epoch-*", "every_s": 0.1},
        "progress": {"match": r"step (?P<step>\d+) of (?P<total>\d+)", "every_s": 0.1},
    }


def test_interrupted_torchrun_goes_on_and_ends_with_the_same_weights(run, tmp_path):
    spec = command_spec("s", distributed(tmp_path))

    with started(run, spec, ranks=1) as attempt:
        attempt.wait_for("checkpoint", 20)
        attempt.send(signal.SIGTERM)
        attempt.wait()
    again = run_stage(run, spec, ranks=1)

    assert (attempt.codes, attempt.story.outcome) == ([75], "stopped")
    assert attempt.story.saved_step in (20, 30, 40, 50)
    assert (again.codes, again.story.outcome) == ([0], "done")
    assert again.story.first_step >= attempt.story.saved_step
    _, manifest = done_marker(run.stage("s").checkpoints, digests=True)
    weights = torch.load(f"{manifest.source}/state.pt")["weights"]
    assert (manifest.step, torch.equal(weights, straight(ranks=2))) == (60, True)


def test_failure_under_torchrun_is_told_with_the_error_of_its_rank(run, tmp_path):
    command = distributed(tmp_path)
    broken = DISTRIBUTED.replace(
        "    step += 1\n", "    step += 1\n    torch.ones(4, 2) @ weights\n"
    )
    (tmp_path / "distributed.py").write_text(broken.replace("float64", "float32"))

    attempt = run_stage(run, command_spec("s", command), ranks=1)

    assert (attempt.codes, attempt.story.outcome, attempt.story.error) == (
        [1],
        "failed",
        "RuntimeError",
    )
    assert attempt.story.message.startswith("RuntimeError: size mismatch")
    assert attempt.story.fault == "deterministic"


def trainer(folder):
    """The keys of `command` for a Trainer that saves when it is told to end."""
    script = folder / "train.py"
    script.write_text(HUGGING_FACE)
    options = "--max_steps 400 --save_steps 100 --save_total_limit 2 --logging_steps 20"
    options += " --per_device_train_batch_size 4 --dataloader_num_workers 2 --use_cpu"
    options += " --ignore_data_skip --enable_jit_checkpoint --report_to none --output_dir"
    return {
        "argv": ["{python}", str(script), *options.split(), "{checkpoints}"],
        "when_resuming": ["--resume_from_checkpoint", "{resume}"],
        "cwd": str(folder),
        "checkpoints": {"every_s": 0.2},
        "progress": {"match": "huggingface", "every_s": 0.2},
    }


def test_interrupted_trainer_of_hugging_face_goes_on_from_the_step_it_was_told_at(run, tmp_path):
    spec = command_spec("s", trainer(tmp_path))

    with started(run, spec, ranks=1) as attempt:
        attempt.wait_for("step", 20)
        attempt.send(signal.SIGTERM)
        attempt.wait()
    again = run_stage(run, spec, ranks=1)

    stopped_at = attempt.story.saved_step
    saved = run.stage("s").root / "output"
    assert (attempt.codes, attempt.story.outcome) == ([75], "stopped")
    assert max(event.fields["step"] for event in attempt.events("step")) - stopped_at <= 1
    assert (again.story.first_step, again.story.total_steps) == (stopped_at, 400)
    assert (again.codes, again.story.outcome) == ([0], "done")
    assert again.story.loss < attempt.story.loss
    _, manifest = done_marker(run.stage("s").checkpoints, digests=True)
    assert (manifest.step, manifest.source) == (400, f"{saved}/checkpoint-400")
    assert load_file(f"{manifest.source}/model.safetensors")
    assert sorted(path.name for path in run.stage("s").checkpoints.iterdir()) == sorted(
        ["step-00000300", "step-00000400", "step-00000400-final"]
    )
