"""The ledger against the cluster and the files: observe, make facts of it, record them.

Nothing here decides what to do about the facts, and nothing acts on a job.
"""
