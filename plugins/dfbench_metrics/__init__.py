"""dfbench built-ins: metrics, registered exactly like a third party's."""
