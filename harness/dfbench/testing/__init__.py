"""The conformance kit: what a component must keep, as checks that a plugin's own tests call.

In a plugin's tests, with plain pytest::

    from dfbench.testing import check_attack, check_spec
    from dfbench_shift.plugin import dfbench_attacks

    def test_shift_conforms():
        (spec,) = dfbench_attacks()
        check_spec(spec)
        check_attack(spec, pixels=2)

Every check takes a spec (with parameters as keywords) or a component of the registry, and raises an AssertionError
that names the component, the claim that does not hold, and the cure. ``MissingDependency`` passes through, so that a
test can skip. The built-in components pass the same kit.
"""

from dfbench.testing.data import check_dataset
from dfbench.testing.defense import check_defense
from dfbench.testing.detector import check_detector
from dfbench.testing.images import check_attack, check_corruption
from dfbench.testing.metric import check_metric
from dfbench.testing.model import check_model
from dfbench.testing.records import sample_record
from dfbench.testing.spec import check_spec
from dfbench.testing.table import check_table

__all__ = [
    "check_attack",
    "check_corruption",
    "check_dataset",
    "check_defense",
    "check_detector",
    "check_metric",
    "check_model",
    "check_spec",
    "check_table",
    "sample_record",
]
