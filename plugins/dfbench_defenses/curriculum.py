"""How the bound of adversarial training grows: as fast as the detector learns, and no faster."""

from __future__ import annotations

from dataclasses import asdict, dataclass

_MEMORY = 0.85
_GROWTH = 1.04
_SLACK = 0.1


@dataclass
class Curriculum:
    """The current bound, raised while the detector copes and lowered when it does not.

    A detector thrown at the final bound at once, or along a fixed ramp that outruns it, falls into the constant
    predictor (cross-entropy 0.693) and stays there. So the bound is multiplied by 1.04 after a step while the running
    adversarial cross-entropy is below ``target``, divided by it while above ``target + 0.1``, and kept in between.

    Args:
        low, high: the bound's range, in [0, 1] pixels; it starts at ``low``.
        target: cross-entropy in nats that the detector is held to; below 0.693.
        running: moving average of the adversarial cross-entropy.
    """

    low: float
    high: float
    target: float
    eps: float = 0.0
    running: float = 0.693

    def __post_init__(self) -> None:
        self.eps = self.eps or self.low

    def update(self, loss: float) -> None:
        """Take note of the adversarial cross-entropy of one step."""
        self.running = _MEMORY * self.running + (1 - _MEMORY) * loss
        if self.running < self.target:
            self.eps = min(self.eps * _GROWTH, self.high)
        elif self.running > self.target + _SLACK:
            self.eps = max(self.eps / _GROWTH, self.low)

    def state_dict(self) -> dict[str, float]:
        """What a resumed training needs."""
        return asdict(self)
