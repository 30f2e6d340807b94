"""The wheel as a login node gets it: without torch."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with nothing but the built wheel and what it needs."""
    folder = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder / "dist"), str(ROOT)]
    subprocess.run([*pip, *build], check=True, timeout=300)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    (wheel,) = (folder / "dist").glob("*.whl")
    constraints = ["-c", str(ROOT / "constraints.txt")]
    install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", *constraints]
    subprocess.run([str(python), *install, str(wheel)], check=True, timeout=300)
    return python


@pytest.mark.slow
def test_wheel_holds_the_template_of_the_report_and_its_style(bare_python: Path):
    (wheel,) = (bare_python.parents[2] / "dist").glob("*.whl")

    names = zipfile.ZipFile(wheel).namelist()

    folder = ROOT / "launcher/show/report"
    wanted = [
        p.relative_to(ROOT).as_posix() for p in folder.iterdir() if p.suffix in (".j2", ".css")
    ]
    assert len(wanted) == 2
    assert [name for name in wanted if name not in names] == []


@pytest.mark.slow
def test_bare_install_plans_and_dry_runs_without_torch(bare_python: Path, tmp_path: Path):
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [str(bare_python), *args]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
        )

    plan = run("-m", "launcher", "plan", str(ROOT / "pipeline.yaml"))
    dry = run("-m", "launcher", "submit", str(ROOT / "pipeline.yaml"), "--dry-run")
    status = run("-m", "launcher", "status")
    report = run("-m", "launcher", "report")

    assert run("-c", "import torch").returncode != 0
    assert "in all 18 h and 576 GPU-h" in plan.stdout
    assert dry.returncode == 0, dry.stderr
    assert "#SBATCH --gpus-per-node=8" in dry.stdout
    assert status.returncode == 4
    assert (report.returncode, report.stdout) == (1, "")
    assert report.stderr.endswith(
        "-m pip install jinja2 vl-convert-python (--json needs neither)\n"
    )
    assert list(tmp_path.iterdir()) == []
