"""Lets cron, Slurm's scrontab or systemd run a pass every few minutes."""
