"""Runs by itself under any Python, here or on a node, and tells what is there as one JSON line.

It is handed over as text (`python -c`), so it imports nothing of ours and keeps to what old
Pythons know. Its argument is JSON: packages, names (to resolve), folder, token.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any, Iterable  # noqa: UP035 - for old Pythons


def versions(packages: Iterable[str]) -> dict[str, str]:
    """By package its version, without importing any."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    try:
        from importlib import metadata  # noqa: PLC0415 - Python 3.7 has none
    except ImportError:
        return found
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def resolves(name: str) -> bool:
    """Whether a host name has an address."""
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def gpus() -> tuple[int, str]:
    """How many GPUs the job sees, and who says so."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        said = subprocess.run(  # noqa: UP022 - for old Pythons
            ["nvidia-smi", "-L"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=30,
            check=True,
        )
        return said.stdout.decode().count("GPU "), "nvidia-smi"
    except (OSError, subprocess.SubprocessError):
        count = len([part for part in visible.split(",") if part]) if visible else 0
        return count, "CUDA_VISIBLE_DEVICES" if visible is not None else ""


def folder(path: str, token: str) -> tuple[bool, bool]:
    """Whether the token that was left in a folder is seen, and something can be written there."""
    try:
        with open(os.path.join(path, token)) as file:  # noqa: PTH118, PTH123
            seen = file.read() == token
        with open(os.path.join(path, token + ".node"), "w") as file:  # noqa: PTH118, PTH123
            file.write(token)
        return seen, True
    except OSError:
        return os.path.exists(os.path.join(path, token)), False  # noqa: PTH110, PTH118


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """All that was asked for."""
    found: dict[str, Any] = {
        "host": socket.gethostname(),
        "at": time.time(),
        "versions": versions(asked["packages"]),
    }
    if "folder" in asked:
        found["seen"], found["writable"] = folder(asked["folder"], asked["token"])
        found["gpus"], found["gpus_by"] = gpus()
        found["names"] = {name: resolves(name) for name in asked["names"]}
    return found


if __name__ == "__main__":
    os.write(1, (json.dumps(look(json.loads(sys.argv[1]))) + "\n").encode())
