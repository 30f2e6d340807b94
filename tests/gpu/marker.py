"""Tests that need a GPU: skipped where there is none, and counted at the end."""

import pytest

NAME = "gpu"
DEVICES = ["cpu", pytest.param("cuda", marks=getattr(pytest.mark, NAME))]
"""For tests whose body runs on either."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker(NAME) is None:
        return
    import torch  # noqa: PLC0415 - most test runs need no torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU: torch.cuda.is_available() is False")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.getreports("skipped")
        if NAME in getattr(report, "keywords", {})
    ]
    if skipped:
        reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
        terminalreporter.write_line(f"gpu: {len(skipped)} tests skipped: {'; '.join(reasons)}")
