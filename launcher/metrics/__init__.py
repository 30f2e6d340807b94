"""The ledger as metrics for Prometheus.

`catalogue` names them, `measure` computes them (pure), `read` asks the ledger, `expose` writes
them in Prometheus' text format.
"""
