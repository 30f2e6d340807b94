"""Fake Slurm programs: small shell scripts, first on PATH."""

from pathlib import Path

import pytest


def put_program(folder: Path, name: str, script: str) -> None:
    """Writes an executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def only_programs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes these, and the machine's own basic ones, the only programs there are."""
    folder.mkdir(exist_ok=True)
    for name in ("timeout", "sh", "sleep", "cat", "printf"):
        link = folder / name
        if not link.exists():
            link.symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
