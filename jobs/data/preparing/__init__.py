"""Clips encoded once for cheap reading; the command is `jobs.data.prepare`."""
