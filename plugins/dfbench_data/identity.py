"""Which people to hold out of a data set whose fakes mix people of one side with people of the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dfbench.rng import derive_seed


def hold_out(cast: Sequence[tuple[str, ...]], share: float, salt: str) -> frozenset[str]:
    """People such that at least ``share`` of the clips show nobody else, and few clips show people of both sides.

    Grown from one person by whoever shares most clips with those chosen, until the share is reached and, where there
    are clips of two people at all, one of them is inside; at most half of the people. Of all such sets the one that
    tears fewest clips; ties in the order of a hash.

    Args:
        cast: who is in each clip, one or two people.
        share: of the clips.
        salt: another one, another order.
    """
    alone: Counter[str] = Counter()
    together: dict[str, Counter[str]] = {person: Counter() for clip in cast for person in clip}
    for people in map(sorted, map(set, cast)):
        if len(people) == 1:
            alone[people[0]] += 1
        else:
            first, second = people
            together[first][second] += 1
            together[second][first] += 1
    order = sorted(together, key=lambda person: derive_seed(salt, person))
    mixed = any(together.values())
    best: tuple[tuple[bool, int], frozenset[str]] | None = None
    for start in order if len(order) > 1 else []:
        chosen, shared = {start}, Counter(together[start])
        inside, pairs = alone[start], 0
        while len(chosen) < len(order) // 2 and (inside + pairs < share * len(cast) or (mixed and not pairs)):
            person = max((p for p in order if p not in chosen), key=shared.__getitem__)
            inside, pairs = inside + alone[person], pairs + shared[person]
            shared.update(together[person])
            chosen.add(person)
        cost = mixed and not pairs, sum(count for person, count in shared.items() if person not in chosen)
        if best is None or cost < best[0]:
            best = cost, frozenset(chosen)
        if cost == (False, 0):
            break
    return best[1] if best else frozenset()
