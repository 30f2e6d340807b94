"""The ledger: what was asked for, what Slurm was told and what came of it.

Imports nothing else of this project. `states` holds our words and needs no database, `schema` the
tables, `engine` opens a ledger, `ledger` gives its transactions, `record` writes, `queries` reads.
"""
