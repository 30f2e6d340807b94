"""`launcher report`: what it writes, prints and says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cli import main
from tests.launcher.report.eventful import eventful

ROOT = Path(__file__).parents[2]
WITHOUT = (
    "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{kept!r}]; "
    "from launcher.cli import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs that has one, and which is the working folder."""
    monkeypatch.delenv("LAUNCHER_LEDGER", raising=False)
    monkeypatch.setenv("LAUNCHER_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    eventful(tmp_path, attempts=6, steps=900)
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["report", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_page_is_one_file_that_holds_everything(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = report(capsys, "videochat2", "--price", "2.10")

    path = runs / "videochat2-20260921-1ec9.html"
    page = path.read_text()
    assert (code, out) == (0, f"{path.name}\n")
    assert err.startswith("the report of run videochat2-20260921-1ec9, ")
    assert len(page) < 2_000_000
    assert "EUR" in page
    assert "<script" not in page
    assert set(re.findall(r"https?://[^\"' <]*", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page)) == {"data:,"}


def test_page_can_go_down_a_pipe_and_leaves_no_file(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(runs.iterdir())

    code, out, err = report(capsys, "-o", "-")

    assert (code, err) == (0, "")
    assert out.startswith("<!DOCTYPE html>")
    assert out.endswith("</html>\n")
    assert sorted(runs.iterdir()) == before


@pytest.mark.usefixtures("runs")
def test_accounts_as_json_come_to_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = report(capsys, "--json", "--price", "2.1", "--currency", "CHF")

    told = json.loads(out)
    assert code == 0
    assert told["price"] == {"amount": 2.1, "currency": "CHF"}
    assert [each["stage"] for each in told["stages"]] == ["stage2", "stage3", "mvbench"]
    for each in (told["all"], *told["stages"]):
        assert list(each["parts"]) == ["productive", "start-up", "checkpoint", "lost", "idle"]
        assert sum(part["share"] for part in each["parts"].values()) == pytest.approx(1, rel=1e-12)
        hours = sum(part["gpu_hours"] for part in each["parts"].values())
        assert hours == pytest.approx(each["gpu_hours"], rel=1e-12)


def test_file_that_cannot_be_written_is_named_and_nothing_is_left(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = report(capsys, "-o", "nowhere/report.html")

    assert (code, out) == (2, "")
    assert err == (
        f"error: {runs}/nowhere/report.html: there is no folder {runs}/nowhere; make it first\n"
    )
    assert not list(runs.glob(".*html*"))


def test_link_is_written_through(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = runs / "link.html"
    link.symlink_to("page.html")

    code, out, _ = report(capsys, "-o", "link.html")

    assert (code, out) == (0, "link.html\n")
    assert link.is_symlink()
    assert (runs / "page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--price", "free"], "argument --price: 'free' is not a price; write 2.10"),
        (["--price", "-1"], "argument --price: '-1' is not a price; write 2.10"),
        (["nothing"], "no run 'nothing'; known, newest first: videochat2-20260921-1ec9"),
        (["a", "--run", "b"], "the run is given twice; drop --run"),
    ],
)
def test_wrong_command_line_is_told_with_what_is_right(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = report(capsys, *arguments)

    assert (code, out) == (2, "")
    assert told in err


def test_without_the_packages_that_draw_it_says_what_to_type_and_json_comes_all_the_same(
    runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The same packages but two, as links.
    (packages,) = {Path(p) for p in sys.path if p.endswith("site-packages")}
    kept = tmp_path_factory.mktemp("kept")
    for path in packages.iterdir():
        if not path.name.startswith(("jinja2", "vl_convert")):
            (kept / path.name).symlink_to(path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = WITHOUT.format(kept=str(kept))
        return subprocess.run(
            [sys.executable, "-c", program, "report", *arguments], cwd=ROOT, env=os.environ,
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    page, accounts = run(), run("--json")

    assert page.returncode == 1
    assert page.stderr == (
        "error: launcher report: what draws the page is not installed: jinja2, vl-convert-python; "
        f"type: {sys.executable} -m pip install jinja2 vl-convert-python (--json needs neither)\n"
    )
    assert json.loads(accounts.stdout)["run"] == "videochat2-20260921-1ec9"
    assert list(runs.glob("*.html")) == []
