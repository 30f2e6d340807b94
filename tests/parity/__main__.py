"""`python -m tests.parity FOLDER`: every vector's largest error beside its tolerance.

Exit code 1 when a value differs by more than its tolerance, or when no vector was recognised.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.kernels import use_recorded_kernels
from tests.parity.checks import find_check
from tests.parity.findings import Finding
from tests.parity.vectors import Vector, read_folder


def findings_of(vector: Vector) -> list[Finding] | None:
    """All findings about a vector; None where no check knows its kind.

    A check that fails is a finding, too: the other vectors are still checked.
    """
    try:
        check = find_check(vector)
        if check is None:
            return None
        found = list(check.check(vector))
    except Exception as error:  # noqa: BLE001 - told as a finding
        found = [Finding("its check", float("inf"), 0.0, f"{type(error).__name__}: {error}")]
    return found or [Finding("its check", float("inf"), 0.0, "compares nothing")]


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding that is nearest to its tolerance, or furthest beyond it."""
    return max(findings, key=_strain)


def _strain(finding: Finding) -> float:
    if finding.tolerance:
        return finding.error / finding.tolerance
    return float("inf") if finding.error else 0.0


def _lines(vector: Vector, findings: Sequence[Finding], *, verbose: bool) -> Iterator[str]:
    failed = [finding for finding in findings if not finding.passed]
    nearest = worst(findings)
    word = "FAIL" if failed else "ok"
    values = f"{len(findings):4} values"
    yield (
        f"{word:4}  {vector.name:32} {values}  error {nearest.error:.1e}  "
        f"tolerance {nearest.tolerance:.1e}  ({nearest.what})"
    )
    for finding in findings if verbose else failed:
        yield (
            f"      {finding.what}: error {finding.error:.3g}, tolerance {finding.tolerance:.3g}"
            f"{'; ' if finding.detail else ''}{finding.detail}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", type=Path, help="of .json and .safetensors files")
    parser.add_argument("--only", default="", help="vectors whose name holds this text")
    parser.add_argument("--verbose", action="store_true", help="every value, not the worst alone")
    args = parser.parse_args(argv)
    try:
        vectors = [each for each in read_folder(args.folder) if args.only in each.name]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    recognised, failed = 0, 0
    for vector in vectors:
        findings = findings_of(vector)
        if findings is None:
            print(f"?     {vector.name:32} not recognised")
            continue
        recognised += 1
        failed += not all(finding.passed for finding in findings)
        for line in _lines(vector, findings, verbose=args.verbose):
            print(line, flush=True)
    unknown = len(vectors) - recognised
    print(f"{recognised} checked, {failed} failed, {unknown} not recognised")
    return 1 if failed or not recognised else 0


if __name__ == "__main__":
    use_recorded_kernels()
    sys.exit(main())
