"""Faults planted on purpose, each with the finding that must follow and with a sound counterpart that raises none."""
