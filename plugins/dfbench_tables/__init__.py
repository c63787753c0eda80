"""dfbench built-ins: table templates, registered exactly like a third party's."""
