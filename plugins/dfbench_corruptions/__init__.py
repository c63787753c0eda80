"""dfbench built-ins: corruptions, registered exactly like a third party's."""
