"""Writes what the pages of `docs/` say of types, tables and paths, from the code that has them.

A page holds it between two comments, `<!-- begin NAME -->` and `<!-- end NAME -->`; all else of
the page is written by hand. `python -m docs.generate` brings the pages up to date,
`python -m docs.generate --check` fails where one is not.
"""
