"""What may keep a run from running, found before it is submitted.

`facts` asks, once and all at the same time; every other module here is pure and judges what was
asked: facts in, findings out. `examine` puts them together, `probe` sends a job to a node.
"""
