"""The site builds without a warning, and needs nothing from the network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

_LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"(.*?)\"")
_IN_STYLES = re.compile(r"url\((.*?)\)|@import\s+(\S+)")


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Builds the site of a folder as `make docs` does."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=source,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_site_has_a_page_for_each_source_and_no_code_of_ours(site):
    names = {str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html")}
    sources = {str(p.relative_to(ROOT / "docs").with_suffix("")) for p in ROOT.glob("docs/**/*.md")}

    assert names - {"404"} == sources
    assert [str(path.relative_to(site)) for path in site.rglob("*.py")] == ["examples/own/train.py"]


def test_page_shows_the_files_that_it_includes(site):
    page = (site / "own-script.html").read_text()

    assert "Stands for your training script" in page
    assert "--8" not in page


def test_pages_load_nothing_from_the_network(site):
    loaded = {url for page in site.rglob("*.html") for url in _LOADED.findall(page.read_text())}
    styles = "".join(style.read_text() for style in site.rglob("*.css"))
    imported = {"".join(found) for found in _IN_STYLES.findall(styles)}

    assert "vendor/iframe-worker.js" in loaded
    assert [url for url in loaded | imported if "//" in url and "data:" not in url] == []


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("[a](no-such-page.md)", "no-such-page.md"),
        ("[a](index.md#no-such-heading)", "no-such-heading"),
        ('```\n--8<-- "no/such/file"\n```', "no/such/file"),
    ],
)
def test_page_with_a_dead_link_ends_the_build(page, told, tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "glossary.md").open("a", encoding="utf-8") as file:
        file.write(f"\n{page}\n")

    done = build(tmp_path, tmp_path / "site")

    assert done.returncode != 0
    assert told in done.stdout + done.stderr


def test_page_that_is_in_no_menu_ends_the_build(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n")

    done = build(tmp_path, tmp_path / "site")

    assert done.returncode != 0
    assert "forgotten.md" in done.stdout + done.stderr
