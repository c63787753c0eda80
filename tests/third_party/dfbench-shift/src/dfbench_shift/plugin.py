"""What this package adds to dfbench. Nothing heavy is imported here: targets are named, and imported on use."""

from dfbench import hookimpl
from dfbench.contracts import AttackSpec, ModelSpec, Param


@hookimpl
def dfbench_models():
    yield ModelSpec(
        "small-cnn",
        "dfbench_shift.model:SmallCNN",
        "three strided convolutions, from a random start",
        params=(Param("width", int, 16, "channels of the first layer", low=1),),
    )


@hookimpl
def dfbench_attacks():
    yield AttackSpec(
        "shift",
        "dfbench_shift.attack:Shift",
        "the worst translation by whole pixels",
        params=(Param("pixels", int, 1, "largest distance in each direction", low=0, high=8),),
        source="Engstrom et al., ICML 2019 (worst-of-k over a grid of translations)",
    )
