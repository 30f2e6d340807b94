"""Install a real Slurm and cron for the tests: `python -m tests.cluster.install`.

Standard library only, so that any Python 3.11 runs it before a virtual environment exists.
What is there already is left alone; what cannot be installed is one line on stderr and exit 1.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# The program that proves a package to be there. Programs, not package names: a Slurm built
# from source, or another distribution's, serves as well.
PACKAGE_OF_PROGRAM = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "cron": "cron",
}
NODES = ("node1", "node2", "node3", "node4")
HOSTS_FILE = Path("/etc/hosts")
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
# Debian leaves the daemons' folders out of an ordinary user's PATH.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class InstallError(Exception):
    """What could not be installed and what to do about it, in one line."""


def missing_packages() -> list[str]:
    """Give the Debian packages whose program is not found on this machine."""
    return [
        package
        for program, package in PACKAGE_OF_PROGRAM.items()
        if shutil.which(program, path=SEARCH_PATH) is None
    ]


def missing_hosts() -> list[str]:
    """Give the node names that do not resolve to this machine, as torch's rendezvous needs."""
    return [name for name in NODES if not _is_this_machine(name)]


def _is_this_machine(name: str) -> bool:
    try:
        return socket.gethostbyname(name).startswith("127.")
    except OSError:
        return False


def install() -> list[str]:
    """Install what is missing, see `add`."""
    return add(missing_packages(), missing_hosts())


def add(packages: list[str], hosts: list[str]) -> list[str]:
    """Install Debian packages, and let names stand for this machine.

    Returns:
        What was added.

    Raises:
        InstallError: Without root or apt-get, or when apt-get fails.
    """
    if (packages or hosts) and os.geteuid() != 0:
        raise InstallError(_cannot(packages, hosts, "needs root", "run it as root"))
    if packages and shutil.which("apt-get", path=SEARCH_PATH) is None:
        raise InstallError(
            _cannot(packages, hosts, "needs Debian's apt-get", "install what these hold")
        )
    try:
        if packages:
            install_packages(packages)
        if hosts:
            _add_hosts(hosts)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(_cannot(packages, hosts, str(error), "mend that")) from error
    return packages + hosts


def _cannot(packages: list[str], hosts: list[str], why: str, what_next: str) -> str:
    wanted = list(packages)
    if hosts:
        wanted.append(f"'127.0.0.1 {' '.join(hosts)}' in {HOSTS_FILE}")
    return f"cannot install {', '.join(wanted)}: {why}; {what_next}, then try again"


def install_packages(packages: list[str]) -> None:
    """Install Debian packages, without starting what they bring; raises InstallError."""
    with _no_service_starts():
        if _apt_install(packages).returncode == 0:
            return
        # Only now: package lists that are there and fresh need no download.
        _apt("update")
        done = _apt_install(packages)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        why = f"apt-get: {' '.join(lines) or done.returncode}"
        raise InstallError(_cannot(packages, [], why, "mend apt's sources or network"))


def _apt_install(packages: list[str]) -> subprocess.CompletedProcess[str]:
    return _apt("install", "--yes", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": SEARCH_PATH, "LC_ALL": "C"}
    command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=120", *arguments]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=900, check=False
    )


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep Debian from starting the installed daemons, by the hook that invoke-rc.d asks."""
    aside = POLICY_FILE.with_name("policy-rc.d.before-slurm-tests")
    if POLICY_FILE.exists() and not aside.exists():
        POLICY_FILE.replace(aside)
    POLICY_FILE.write_text("#!/bin/sh\nexit 101\n")
    POLICY_FILE.chmod(0o755)
    try:
        yield
    finally:
        POLICY_FILE.unlink()
        if aside.exists():
            aside.replace(POLICY_FILE)


def _add_hosts(names: list[str]) -> None:
    # Appended, not replaced: in a container the file is a mount and cannot be renamed over.
    text = HOSTS_FILE.read_text() if HOSTS_FILE.exists() else ""
    break_line = "" if text.endswith("\n") or not text else "\n"
    with HOSTS_FILE.open("a") as hosts:
        hosts.write(f"{break_line}127.0.0.1 {' '.join(names)}\n")


def main(install: Callable[[], list[str]], what: str) -> int:
    """Install, say what was added, and give the exit code."""
    try:
        added = install()
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"installed {', '.join(added)}" if added else f"{what} installed", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(install, "Slurm is"))
