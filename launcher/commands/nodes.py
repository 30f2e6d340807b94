"""`launcher nodes`: nodes that jobs keep away from."""

import argparse
import time

from db.passes import clear_node, quarantined
from launcher.commands.arguments import add_run_arguments
from launcher.errors import UsageError
from launcher.runs import open_ledger
from launcher.show.console import open_screen
from launcher.show.tables import plain_table

DESCRIPTION = """\
  launcher nodes
  launcher nodes clear node17

Lists the nodes in quarantine: what they did, by what evidence, and until when new jobs keep away
from them (24 h, and never more than a tenth of a partition). `clear` ends it for a node.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher nodes`."""
    parser.description = DESCRIPTION
    parser.add_argument("what", nargs="?", choices=["clear"], help="end the quarantine of NODE")
    parser.add_argument("node", nargs="?", metavar="NODE", help="the node")
    add_run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Lists the nodes, or clears one."""
    screen, ledger, now = open_screen(args), open_ledger(args.runs), time.time()
    if args.what == "clear":
        if args.node is None:
            raise UsageError("launcher nodes clear: name the node; see launcher nodes")
        with ledger.write() as session:
            cleared = clear_node(session, args.node, at=now)
        if not cleared:
            raise UsageError(f"node {args.node} is not in quarantine; see launcher nodes")
        screen.result(f"node {args.node} may be used again")
        return 0
    with ledger.read() as session:
        rows = quarantined(session, None, now)
    if args.json:
        keys = ("cluster", "node", "reason", "evidence", "since", "until")
        screen.json([{key: getattr(row, key) for key in keys} for row in rows])
    elif not rows:
        screen.say("no node is in quarantine")
    else:
        until = [time.strftime("%m-%d %H:%M", time.localtime(row.until)) for row in rows]
        cells = [(r.node, r.reason, u, r.evidence) for r, u in zip(rows, until, strict=True)]
        screen.result(plain_table(("node", "reason", "until", "evidence"), cells))
    return 0
