"""What a run was like, for the report: facts and words, no page. `launcher.show.report` draws."""
