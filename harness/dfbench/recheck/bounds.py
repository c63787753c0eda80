"""What arithmetic allows: bounds of metrics that follow from others, and numbers as they were printed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

SLACK = 1e-12
"""Room for the rounding of doubles, in units of a share."""

COUNT_SLACK = 1e-6
"""The same for counts."""


@dataclass(frozen=True)
class Printed:
    """A number as it was printed, and the values that round to it: .462 stands for [.4615, .4625].

    Args:
        text: as printed.
        value: its value.
        low, high: what it may stand for, inclusive: half of the last printed digit to either side.
    """

    text: str
    value: float
    low: float
    high: float


def printed(text: str) -> Printed:
    """Read a printed decimal number.

    Raises:
        ValueError: it is no finite decimal number.
    """
    try:
        number = Decimal(text.strip())
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{text!r} is no finite number")
    half = Decimal(5).scaleb(exponent - 1)
    return Printed(text.strip(), float(number), float(number - half), float(number + half))


def macro_f1(low: float, high: float) -> tuple[float, float]:
    """The range of the macro-F1 of two classes for an accuracy within [low, high]: from low/(1+low) to high.

    With e of n samples wrong, F1 of a class with x right answers is 2x/(2x+e), which is concave in x. At a given
    accuracy a the mean over both classes is therefore highest, a, where both have as many right answers, and lowest,
    a/(1+a), where one class has them all.
    """
    return max(0.0, low) / (1 + max(0.0, low)), min(1.0, high)


def right_counts(low: float, high: float, n: int) -> range:
    """The numbers of right answers among ``n`` whose share lies within [low, high]; empty where there is none."""
    return range(max(0, math.ceil((low - SLACK) * n)), min(n, math.floor((high + SLACK) * n)) + 1)


def class_f1_possible(f1: Printed, right: range, n: int, members: int | None = None) -> bool:
    """Whether some confusion table has an F1 of one class as printed.

    Args:
        f1: F1 of the class.
        right: the possible numbers of right answers, of both classes together.
        n: samples.
        members: samples of the class, where that is known.
    """
    for correct in right:
        wrong = n - correct
        # Right answers within the class: all that the counts allow.
        least, most = (0, correct) if members is None else (max(0, correct - (n - members)), min(correct, members))
        if wrong == 0:
            if f1.high + SLACK >= 1 and most > 0:
                return True
            continue
        first, last = (_right_of_class(share, wrong) for share in (f1.low, f1.high))
        if math.ceil(max(first - COUNT_SLACK, least)) <= min(last + COUNT_SLACK, most):
            return True
    return False


def _right_of_class(f1: float, wrong: int) -> float:
    """How many right answers of a class give its F1 where ``wrong`` answers are wrong: F1 = 2x/(2x + wrong)."""
    return math.inf if f1 >= 1 else max(0.0, f1) * wrong / (2 * (1 - f1))


def one_class(accuracy: float, n: int, fakes: int) -> bool:
    """Whether an accuracy is no better than that of answering one class always."""
    return accuracy <= max(fakes, n - fakes) / n + SLACK
