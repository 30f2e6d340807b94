"""The one error of this package."""


class LedgerError(Exception):
    """The ledger cannot be used as it is: missing, locked, damaged, or of another version.

    Args:
        where: the ledger, as a path or as a URL without its password.
        what: what is wrong with it.
        next_step: what the reader can do about it.
    """

    def __init__(self, where: str, what: str, next_step: str) -> None:
        super().__init__(f"{where}: {what}; {next_step}")
        self.where = where
        self.what = what
        self.next_step = next_step
