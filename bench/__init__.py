"""Where the figures of the README and of the notes come from; each module is one command."""
