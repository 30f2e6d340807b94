"""`launcher checkpoints`: what is saved, and whether it is whole."""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.filesize import decimal

from db.queries import stages_of
from db.schema import StageRun
from jobs.contract.manifest import checkpoint_folders, faults, read_manifest
from jobs.contract.paths import SET_ASIDE
from launcher.commands.arguments import add_stage_arguments
from launcher.reconcile.observe import stage_folder
from launcher.runs import check_folder, check_stages, find_run, open_ledger
from launcher.show.console import open_screen
from launcher.show.tables import plain_table

DESCRIPTION = """\
  launcher checkpoints
  launcher checkpoints stage2 --verify

Lists the checkpoints on the disk, newest first: step, size, whether the ledger has verified them,
and what is wrong with them now; then those that were set aside, from which nothing is resumed.
`--verify` reads every byte.
"""
EXIT_CODES = {0: "all are whole, or there is none", 1: "one is damaged that is not set aside"}


@dataclass(frozen=True)
class Found:
    """A checkpoint on the disk.

    Attributes:
        stage: Whose it is.
        step: Optimizer steps done.
        bytes: Size.
        final: The stage is done with it.
        verified: The ledger has it as verified.
        set_aside: The stage failed after it again and again; it is not resumed from.
        fault: What is wrong with it; empty: nothing that was looked at.
        path: Its folder.
    """

    stage: str
    step: int
    bytes: int
    final: bool
    verified: bool
    set_aside: bool
    fault: str
    path: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher checkpoints`."""
    parser.description = DESCRIPTION
    add_stage_arguments(parser, several=True)
    parser.add_argument("--verify", action="store_true", help="read every byte")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Lists the checkpoints."""
    screen, ledger = open_screen(args), open_ledger(args.runs)
    with ledger.read() as session:
        chosen_run = find_run(ledger, args.run)
        rows = stages_of(session, chosen_run.id)
    check_stages(chosen_run.id, args.stages, [row.stage for row in rows])
    check_folder(chosen_run)
    chosen = [row for row in rows if not args.stages or row.stage in args.stages]
    found = [each for row in chosen for each in look(row, digests=args.verify)]
    if args.json:
        screen.json([asdict(each) for each in found])
    elif found:
        screen.result(plain_table(("stage", "step", "size", "state", "where"), map(_cells, found)))
    else:
        screen.say("no checkpoints yet")
    return 1 if any(each.fault and not each.set_aside for each in found) else 0


def look(stage: StageRun, *, digests: bool) -> list[Found]:
    """The checkpoints of a stage, newest first; then those that were set aside.

    Args:
        stage: The stage run, with its checkpoints.
        digests: Read every byte.
    """
    known = {row.path for row in stage.checkpoints if row.verified_at is not None}
    folder = stage_folder(stage)
    paths = [
        *checkpoint_folders(folder.checkpoints),
        *checkpoint_folders(folder.checkpoints.parent / SET_ASIDE),
    ]
    return [_found(stage, path, known, digests=digests) for path in paths]


def _found(stage: StageRun, path: Path, known: set[str], *, digests: bool) -> Found:
    manifest = read_manifest(path)
    is_aside = path.parent.name == SET_ASIDE
    if manifest is None:
        return Found(
            stage=stage.stage,
            step=-1,
            bytes=0,
            final=False,
            verified=False,
            set_aside=is_aside,
            fault=f"{path}: its manifest cannot be read",
            path=str(path),
        )
    wrong = faults(path, manifest, digests=digests)
    return Found(
        stage=stage.stage,
        step=manifest.step,
        bytes=manifest.bytes,
        final=manifest.final,
        verified=str(path) in known or (digests and not wrong),
        set_aside=is_aside,
        fault=wrong[0] if wrong else "",
        path=str(path),
    )


def _cells(found: Found) -> tuple[str, str, str, str, str]:
    state = found.fault or ("verified" if found.verified else "sizes are right")
    kind = "set aside, " if found.set_aside else "final, " if found.final else ""
    step = str(found.step) if found.step >= 0 else "-"
    return found.stage, step, decimal(found.bytes), kind + state, found.path
