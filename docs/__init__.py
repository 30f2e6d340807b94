"""The documentation site, and the program that writes the parts of it that follow from code."""
