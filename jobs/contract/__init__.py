"""What the launcher and the jobs agree on: folders, specs, events, manifests, exit codes.

The only part of `jobs` that the launcher may import. It never imports torch.
"""
