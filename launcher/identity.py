"""Who we are, to Slurm and in the ledger."""

import os
import pwd


def user_name() -> str:
    """The user that this process is. LOGNAME may say another, whose jobs are not ours."""
    return pwd.getpwuid(os.getuid()).pw_name
