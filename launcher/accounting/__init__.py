"""Where the allocated time of a run went, by its ledger and its event files.

`attempt` takes one attempt apart, `account` puts those of a run together, `parts` has the words.
What each part means is told in docs/report.md.
"""
