"""Who we are, to Slurm and in the ledger."""

import grp
import os
import pwd
from contextlib import suppress


def user_name() -> str:
    """The user that this process is. LOGNAME may say another, whose jobs are not ours."""
    return pwd.getpwuid(os.getuid()).pw_name


def group_names() -> frozenset[str] | None:
    """The groups of this process, as far as they have names; None for root, who needs none."""
    if os.geteuid() == 0:
        return None
    found = set()
    for number in {os.getegid(), *os.getgroups()}:
        with suppress(KeyError):
            found.add(grp.getgrgid(number).gr_name)
    return frozenset(found)
