"""The page about requeue has a line for each rule that the code knows, and no other."""

import re

from docs.generate.rules import other_rules, rules
from tests.docs.pages import DOCS

_ROW = re.compile(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| (.+) \|$", re.MULTILINE)


def told() -> dict[str, str]:
    """The last columns of the rows about each rule, in one text."""
    found: dict[str, str] = {}
    for cell, rest in _ROW.findall((DOCS / "requeue.md").read_text(encoding="utf-8")):
        for rule in re.findall(r"`([a-z-]+)`", cell):
            found[rule] = f"{found.get(rule, '')} {rest.rpartition(' | ')[2]}"
    return found


def test_page_has_a_line_for_each_rule_and_no_other():
    assert told().keys() == rules().keys() | other_rules()


def test_page_says_of_each_rule_what_it_does():
    lines = told()

    wrong = {
        rule: (action, lines[rule])
        for rule, actions in rules().items()
        for action in actions
        if action not in lines[rule]
    }

    assert wrong == {}


def test_rules_are_found_in_every_way_that_the_code_writes_them():
    found = rules()

    assert found["preempted"] == {"resubmit"}  # a text
    assert found["unsent"] == {"resubmit"}  # a constant
    assert found["failed-for-good"] == {"fail"}  # made from another
    assert found["hang"] == {"resubmit", "stop hung job"}  # of two modules
    assert "refused-by-slurm" in other_rules()
