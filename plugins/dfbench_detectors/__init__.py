"""dfbench built-ins: face detectors, registered exactly like a third party's."""
