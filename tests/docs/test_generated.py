"""The generated parts of the pages are what the code says, and fail where it says nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from docs.generate.__main__ import PARTS, renewed
from docs.generate.docstrings import UndocumentedError, attributes
from docs.generate.pipeline_file import SECTIONS, Key, keys, slug
from docs.generate.words import in_words
from jobs.contract.checkpointing import Checkpointing
from jobs.contract.strict import Strict
from jobs.contract.units import Duration
from launcher.pipeline.parts import ClusterSettings
from tests.docs.pages import DOCS

GENERATED = sorted(path for path in DOCS.rglob("*.md") if "<!-- begin " in path.read_text("utf-8"))


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_page_says_what_the_code_says(path):
    page = path.read_text(encoding="utf-8")

    assert page == renewed(page), "type: make docs"


def test_every_generated_part_stands_in_a_page():
    pages = "".join(path.read_text(encoding="utf-8") for path in GENERATED)

    assert [name for name in PARTS if f"<!-- begin {name} -->" not in pages] == []


def test_page_that_is_out_of_date_is_renewed():
    stale = "before\n<!-- begin placeholders -->\nyesterday\n<!-- end placeholders -->\nafter\n"

    page = renewed(stale)

    assert "yesterday" not in page
    assert "| `{resume}` | newest complete checkpoint;" in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")


def test_part_that_nothing_makes_is_an_error():
    with pytest.raises(UndocumentedError, match="weather: nothing makes such a part"):
        renewed("<!-- begin weather -->\n<!-- end weather -->")


def test_keys_are_told_as_the_file_writes_them():
    found = {key.name: key for part in (ClusterSettings, Checkpointing) for key in keys(part)}

    assert found["mem"] == Key("mem", "size", "-", "Memory of each node.")
    assert found["signal_lead"].default == "`2m`"
    assert (found["time_limit"].type, found["time_limit"].default) == ("duration", "required")
    assert found["every"].type == "whole number or `auto`"


def test_key_without_a_sentence_ends_the_generation():
    @dataclass(frozen=True)
    class Part:
        """A part.

        Attributes:
            told: Yes.
        """

        told: int = 1
        untold: int = 2

    with pytest.raises(UndocumentedError, match=r"Part\.untold: the docstring does not tell"):
        list(keys(Part))


def test_section_without_a_heading_ends_the_generation():
    class Inner(Strict):
        """Inside.

        Attributes:
            x: A number.
        """

        x: int = 1

    class Outer(Strict):
        """Outside.

        Attributes:
            inner: What is inside.
        """

        inner: Inner = Inner()

    with pytest.raises(UndocumentedError, match="Inner holds keys and has no section"):
        list(keys(Outer))


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (Annotated[int, Field(ge=1)], "whole number, 1 or more"),
        (Annotated[float, Field(gt=0, le=1)], "number above 0, up to 1"),
        (Annotated[Duration, Field(ge=1)] | None, "duration"),
        (tuple[str, ...], "list of texts"),
        (Path, "path"),
    ],
)
def test_type_is_told_in_words(hint, told):
    assert in_words(hint, lambda _: None) == told


def test_type_without_words_ends_the_generation():
    with pytest.raises(UndocumentedError, match="no words for"):
        in_words(frozenset[int], lambda _: None)


def test_sentence_over_several_lines_is_one():
    told = attributes(ClusterSettings)

    assert told["signal_lead_s"] == (
        "How long before the time limit the job is told to save, key `signal_lead`."
    )


def test_anchor_of_a_section_is_the_one_that_markdown_makes():
    assert [slug(name) for name in SECTIONS][:1] == ["the-top-of-the-file"]
    assert slug("train.loss_scaling") == "trainloss_scaling"
