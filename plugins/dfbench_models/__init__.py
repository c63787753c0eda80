"""dfbench built-ins: models, registered exactly like a third party's."""
