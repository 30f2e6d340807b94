"""The report in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli import main
from tests.browser.chromium import Browser, open_browser
from tests.launcher.report.eventful import eventful

HOSTILE = "</svg></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>&"
SECTIONS = ["summary", "time", "attempts", "curves", "evaluations", "checkpoints", "decisions",
            "pipeline"]  # fmt: skip
CHARTS = ["gantt", "waterfall", *(f"curve-{stage}-{i}" for stage in range(3) for i in range(5))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def page_of(runs: Path, **more) -> Path:
    """The page of an eventful run."""
    eventful(runs, **more)
    page = runs / "report.html"
    code = main(["report", "-q", "--runs", str(runs), "--price", "2.1", "-o", str(page)])
    assert code == 0
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of which every text that users or jobs give is an attack, and very long."""
    text = f"{HOSTILE}{'x' * 200}"
    return page_of(tmp_path_factory.mktemp("hostile"), name=text, stage=text, message=text)


def test_page_asks_for_nothing_and_complains_of_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)

    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []


def test_every_section_and_every_chart_can_be_seen(browser: Browser, page: Path) -> None:
    browser.open(page)

    seen = browser.ask(
        "[...document.querySelectorAll('main > section')]"
        ".map(e => [e.id, e.querySelectorAll('h2').length, e.offsetHeight > 40])"
    )
    charts = browser.ask(
        "[...document.querySelectorAll('figure > svg')].map(e => {"
        "  const box = e.getBoundingClientRect();"
        "  const id = e.querySelector('title').id.replace(/-title$/, '');"
        "  return [id, box.width > 200 && box.height > 60, e.getBBox().width > 100]})"
    )
    assert seen == [[name, 1, True] for name in SECTIONS]
    assert sorted(charts) == sorted([name, True, True] for name in CHARTS)


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    browser.open(request.getfixturevalue(which), width=width)

    assert browser.ask("document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    """From 0 (black) to 1, of `rgb(...)`."""
    numbers = colour.partition("(")[2].rstrip(")").split(",")[:3]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (float(each) / 255 for each in numbers)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """As WCAG counts it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_page_is_as_dark_as_its_reader_wants_and_everything_stands_out(
    browser: Browser, page: Path, *, dark: bool
) -> None:
    browser.open(page, dark=dark)
    paper = browser.ask("getComputedStyle(document.body).backgroundColor")
    inks = browser.ask(
        "[...new Set([...document.querySelectorAll('h1,p,td,th,dt,dd,caption,figcaption,svg text')]"
        ".map(e => getComputedStyle(e)[e instanceof SVGElement ? 'fill' : 'color']))]"
    )
    marks = browser.ask(
        "[...new Set([...document.querySelectorAll('svg .mark-rect path, svg .mark-line path')]"
        ".map(e => getComputedStyle(e)).map(s => s.fill == 'none' ? s.stroke : s.fill))]"
    )

    assert (luminance(paper) < 0.05) is dark
    assert len(inks) >= 2
    assert min(contrast(ink, paper) for ink in inks) >= 4.5
    coloured = [m for m in marks if m.startswith("rgb(") and m != paper]
    assert len(coloured) >= 5
    # What the queue took stands back on purpose.
    assert sum(contrast(mark, paper) >= 3 for mark in coloured) >= len(coloured) - 1


@pytest.mark.parametrize("dark", [False, True])
def test_page_prints_on_a_few_sheets(browser: Browser, page: Path, *, dark: bool) -> None:
    browser.open(page, dark=dark)

    assert 3 <= browser.pages() <= 12


def test_texts_of_a_hostile_run_are_shown_and_not_obeyed(
    browser: Browser, hostile_page: Path
) -> None:
    browser.open(hostile_page)

    assert HOSTILE in browser.ask("document.querySelector('h1').textContent")
    assert HOSTILE in browser.ask("document.querySelector('#attempts tbody').textContent")
    assert browser.ask("document.scripts.length + document.images.length") == 0
    assert "owned" in browser.ask("document.title")  # as text: the title is the run's name
    assert browser.ask("document.title").startswith("</svg>")
    assert (browser.requests, browser.complaints) == ([hostile_page.as_uri()], [])


def test_who_cannot_see_is_told_what_the_charts_show_and_what_the_numbers_are(
    browser: Browser, page: Path
) -> None:
    browser.open(page)

    nameless = browser.ask(
        "[...document.querySelectorAll('figure > svg')].filter(e => e.getAttribute('role') != 'img'"
        " || e.getAttribute('aria-labelledby').split(' ')"
        ".some(id => !document.getElementById(id).textContent)).length"
    )
    headless = browser.ask(
        "[...document.querySelectorAll('table')].filter(t => !t.caption || !t.tHead"
        " || [...t.tBodies[0].rows]"
        ".some(r => r.cells.length != t.tHead.rows[0].cells.length)).length"
    )
    twice = browser.ask(
        "(ids => ids.length - new Set(ids).size)"
        "([...document.querySelectorAll('[id]')].map(e => e.id))"
    )
    assert (nameless, headless, twice) == (0, 0, 0)
