"""dfbench built-ins: data, registered exactly like a third party's."""
