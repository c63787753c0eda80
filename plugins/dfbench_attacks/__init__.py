"""dfbench built-ins: attacks, registered exactly like a third party's."""
