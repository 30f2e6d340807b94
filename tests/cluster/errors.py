"""The one error of the test cluster."""


class SlurmClusterError(Exception):
    """The test cluster did not do what was asked: what, why and what next, or its logs' ends."""
