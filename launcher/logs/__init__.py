"""The logs of a stage's ranks across its attempts: where they lie, their ends, the first fault."""
