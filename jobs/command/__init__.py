"""Any other program as a stage: started, watched, told to save and end, and accounted for.

`jobs.contract.command` says what a pipeline file can ask for. Reads from `attempt.run` on.
"""

from jobs.command.attempt import run

__all__ = ["run"]
