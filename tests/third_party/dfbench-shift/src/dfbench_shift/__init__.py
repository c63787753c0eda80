"""A translation attack and a small detector for dfbench."""
