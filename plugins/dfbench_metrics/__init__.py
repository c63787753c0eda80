"""dfbench built-ins: metrics, registered exactly like a third party's; and areas under curves over eps."""

from dfbench.nauc import nauc, nauc_seed

__all__ = ["nauc", "nauc_seed"]
