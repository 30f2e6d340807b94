"""One file a version; the number that its name starts with is the version."""
