"""Ordinary programs for the tests of command stages; they know nothing of the launcher."""

from pathlib import Path
from typing import Any

from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec

COUNT = """
import argparse, json, os, pathlib, signal, sys, time

options = argparse.ArgumentParser()
options.add_argument("--out", type=pathlib.Path, required=True)
options.add_argument("--steps", type=int, default=6)
options.add_argument("--step_s", type=float, default=0.02)
options.add_argument("--save_every", type=int, default=2)
options.add_argument("--keep", type=int, default=100)
options.add_argument("--resume", type=pathlib.Path)
options.add_argument("--on_term", choices=["die", "save", "deaf"], default="die")
options.add_argument("--fail_at", type=int)
options.add_argument("--code", type=int, default=0)
options = options.parse_args()

asked = []
if options.on_term != "die":
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
step = json.loads((options.resume / "trainer_state.json").read_text()) if options.resume else 0
print("from", step, flush=True)

def save():
    folder = options.out / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_bytes(os.urandom(64))
    (folder / "trainer_state.json").write_text(json.dumps(step))
    there = sorted(options.out.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    for old in there[:-options.keep]:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()

while step < options.steps:
    time.sleep(options.step_s)
    step += 1
    print(f"step {step}/{options.steps} loss {1 / step:.3f}", flush=True)
    if step == options.fail_at:
        raise ValueError(f"no sense at step {step}")
    if options.save_every and step % options.save_every == 0:
        save()
    if asked and options.on_term == "save":
        save()
        break
sys.exit(options.code)
"""
"""Counts, saves as Hugging Face's Trainer does, and may be told how to take SIGTERM."""

FAMILY = """
import os, signal, subprocess, sys, time
role, folder = sys.argv[1], sys.argv[2]
def note(number, _):
    with open(f"{folder}/{role}.got", "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if os.environ.get("STUBBORN") != "yes":
        os._exit(0)
signal.signal(signal.SIGTERM, note)
signal.signal(signal.SIGUSR1, note)
if role == "parent":
    child = subprocess.Popen([sys.executable, __file__, "child", folder])
    if os.fork() == 0:
        role = "fork"
elif role == "child":
    orphan = [sys.executable, __file__, "orphan", folder]
    if os.fork() == 0:
        subprocess.Popen(orphan, start_new_session=True)
        os._exit(0)
    os.wait()
with open(f"{folder}/{role}.part", "w") as file:
    file.write(str(os.getpid()))
os.rename(f"{folder}/{role}.part", f"{folder}/{role}.pid")
time.sleep(600)
"""
"""A parent, a fork of it, a child, and a grandchild that has left its parent and session."""


def command_spec(stage: str, command: dict[str, Any], **parts: Any) -> StageSpec:
    """The specification of a command stage."""
    return StageSpec.model_validate(
        {"run_id": "r", "stage": stage, "model": {"preset": ""}, "command": command} | parts
    )


def counting(folder: Path, *options: str, **command: Any) -> dict[str, Any]:
    """The keys of `command` for the counting program, which lies in `folder`."""
    script = folder / "count.py"
    script.write_text(COUNT)
    usual: dict[str, Any] = {
        "argv": ["{python}", str(script), "--out", "{checkpoints}", *options],
        "when_resuming": ["--resume", "{resume}"],
        "cwd": str(folder),
        "checkpoints": {"every_s": 0.05},
        "progress": {"match": r"step (?P<step>\d+)/(?P<total>\d+) loss (?P<loss>\S+)"},
    }
    return usual | command


def output(run: RunFolder) -> Path:
    """Where the programs of stage `s` save."""
    return run.stage("s").root / "output"
