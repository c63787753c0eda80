"""dfbench built-ins: defenses, registered exactly like a third party's."""
