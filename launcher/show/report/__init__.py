"""The HTML report. What draws (`[report]` of pyproject.toml) is imported only when it is made."""
