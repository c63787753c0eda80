"""What the templates read from a record: for each model, training set and evaluated set, one result for each defense
in each scenario, of one training or over several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dfbench.grammar import format_value
from dfbench.labels import short_labels, values_of
from dfbench.recordcells import by_video, value
from dfbench_tables.entries import is_worst_case
from dfbench_tables.verdicts import reasons

Entry = Mapping[str, Any]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """The results of one model, trained on one data set, on one evaluated data set: what one table shows.

    Args:
        record: the record.
        model, train_data, data: the labels.
        name: the model, and the data sets where there are several of them.
        entries: of the record's ``over_seeds`` where it has several trainings, else of its ``cells``; for videos, with
            the numbers of the videos in place of the samples'.
        videos: whether the numbers are those of videos.
    """

    record: Record
    model: str
    train_data: str
    data: str
    name: str
    entries: tuple[Entry, ...]
    videos: bool = False

    @property
    def has_videos(self) -> bool:
        """Whether its samples are frames of videos."""
        return any(entry.get("video") for entry in self.entries)

    def by_video(self) -> Group:
        """The same with the numbers of the videos; without the worst case, which is of samples alone."""
        return replace(self, entries=tuple(by_video(e) for e in self.entries if not is_worst_case(e)), videos=True)

    @property
    def cells(self) -> list[Entry]:
        """The record's cells that its entries are of, of all trainings."""
        shared = (self.model, self.train_data, self.data)
        return [one for one in self.record["cells"] if (one["model"], one["train_data"], one["data"]) == shared]

    def cells_of(self, entry: Entry) -> list[Entry]:
        """Those of one of its entries: one for each training."""
        return [cell for cell in self.cells if _key(cell) == _key(entry)]

    @property
    def worst_case(self) -> bool:
        """Whether any of its entries is of an attack that stops at the first success."""
        return any(map(is_worst_case, self.entries))

    @property
    def unit(self) -> str:
        """What is counted, where the table must say so: frames or videos."""
        return "videos" if self.videos else "frames" if self.has_videos else ""

    @property
    def defenses(self) -> list[str]:
        """The defenses, in the record's order."""
        return list(dict.fromkeys(entry["defense"] for entry in self.entries))

    @property
    def short(self) -> dict[str, str]:
        """Short names of the defenses."""
        return short_labels(self.defenses, values_of(self.record))

    @property
    def curves(self) -> list[Entry]:
        """Its curves over eps, of those attacks whose scenarios are all among those to be shown; the worst case has no
        metric that it shares with the images without attack, and so none."""
        shown = {scenario["name"] for scenario in self.record["config"]["scenarios"]}
        return [
            curve
            for curve in self.record["curves"]
            if (curve["model"], curve["train_data"], curve["data"]) == (self.model, self.train_data, self.data)
            and shown.issuperset(curve["scenarios"][1:])
            and curve["metrics"]
        ]

    @property
    def measured(self) -> Entry | None:
        """Some entry that has numbers, best one that tells the floors of constant answers."""
        found = sorted((entry for entry in self.entries if entry["metrics"]), key=is_worst_case)
        return found[0] if found else None

    def about(self) -> dict[str, str]:
        """What all its numbers share, for programs."""
        split = {"split": str(self.entries[0]["split"])}
        shared = {"model": self.model, "train_data": self.train_data, "data": self.data, **split}
        return {**shared, "level": "video" if self.videos else "sample"}


def groups(record: Record) -> Iterator[Group]:
    """The groups of a record in its order: models, then training sets, then evaluated sets."""
    entries = _entries(record)
    keys = list(dict.fromkeys((entry["model"], entry["train_data"], entry["data"]) for entry in entries))
    trained, tested = {key[1] for key in keys}, {key[2] for key in keys}
    for key in keys:
        model, train_data, data = key
        name = model + (f" trained on {train_data}" if len(trained) > 1 else "")
        name += ("," if len(trained) > 1 else "") + f" on {data}" if len(tested) > 1 else ""
        ours = tuple(entry for entry in entries if (entry["model"], entry["train_data"], entry["data"]) == key)
        yield Group(record, model, train_data, data, name, ours)


def _entries(record: Record) -> list[Entry]:
    """One entry for each defense in each scenario; one that no training finished is a failed one."""
    if not record["over_seeds"]:
        return list(record["cells"])
    finished = {_key(entry): entry for entry in record["over_seeds"]}
    first = {_key(cell): cell for cell in reversed(record["cells"])}
    order = dict.fromkeys(map(_key, record["cells"]))
    return [finished[key] if key in finished else {**first[key], "status": "failed"} for key in order]


def _key(entry: Entry) -> tuple[str, ...]:
    return tuple(entry[name] for name in ("model", "train_data", "data", "defense", "scenario"))


def failed(entry: Entry) -> bool:
    """Whether there is nothing to show for it."""
    return entry.get("status") == "failed"


def captions(group: Group) -> tuple[str, ...]:
    """What the numbers must be read against: n, the split, the accuracy of a detector that ignores its input, leaks."""
    entry = group.measured
    if entry is None:
        return ("No cell was finished.",)
    counted = "number of videos" if group.videos else "n"
    if is_worst_case(entry):
        return (f"{origin(group)}, {counted} = {entry['n']}.", *cautions(group))
    floors = [value(entry, f"always_{answer}_accuracy") or 0.0 for answer in ("fake", "real")]
    floor = (
        f"{origin(group)}, {counted} = {entry['n']}. A detector that always answers one class scores accuracy "
        f"{max(floors):.3f} and balanced accuracy and AUC 0.500: read every row against that floor."
    )
    return (floor, *cautions(group))


def cautions(group: Group) -> tuple[str, ...]:
    """What forbids to take a group's numbers at face value: suspect cells, arms trained on unequal terms, leaks; and
    what is missing by video."""
    told = list(dict.fromkeys(cell["scenario"] for cell in group.cells if is_worst_case(cell))) if group.videos else []
    absent = [f"Not here: {', '.join(told)}. The worst case is of frames, it has no mean over a video."] if told else []
    return (*reasons(group.cells, group.short), *unequal(group), *leaks(group), *absent)


def unequal(group: Group) -> tuple[str, ...]:
    """A sentence on everything but the objectives in which arms were trained unlike the baseline; none where nothing
    is."""
    short = group.short
    found: dict[str, dict[str, None]] = {}
    for entry in group.record["training"]:
        place = (entry["model"], entry["data"]) == (group.model, group.train_data)
        if place and entry["differences"] and entry["defense"] in short:
            told = ", ".join(map(_unlike, entry["differences"]))
            found.setdefault(told, {})[short[entry["defense"]]] = None
    if not found:
        return ()
    base = next((e["versus_baseline"]["defense"] for e in group.entries if e["versus_baseline"]), None)
    others = [name for label, name in short.items() if label != base]
    arms = "; ".join(
        f"{'all others' if len(others) > 1 and list(names) == others else ', '.join(names)} in {told}"
        for told, names in found.items()
    )
    return (f"Trained unlike {short[base] if base else 'the baseline'}: {arms}.",)


def _unlike(difference: Mapping[str, Any]) -> str:
    here, base = (_setting(difference[arm]) for arm in ("here", "baseline"))
    return f"{difference['what']} ({here} against {base})"


def _setting(value: Any) -> str:
    if value in (None, ""):
        return "unset"
    return value if isinstance(value, str) else format_value(value)


def origin(group: Group) -> str:
    """The data that the detectors saw and see, and the split."""
    told = f"{_source(group, group.data)}, {group.entries[0]['split']} split"
    if group.train_data == group.data:
        return told
    return f"Trained on {_source(group, group.train_data)}, evaluated on {told}"


def _source(group: Group, name: str) -> str:
    """A data set's name; clips that were re-encoded before their faces were cut out are told from corrupted images."""
    used = [*group.record["data"], *group.record["eval_data"]]
    preparation = next((one.get("preparation") or {} for one in used if one["name"] == name), {})
    codec = preparation.get("recompress")
    return f"{name} (clips re-encoded: {codec})" if codec else name


def leaks(group: Group) -> tuple[str, ...]:
    """The leaks that bear on a group: those within a training set, and those of its own into the evaluated set."""
    found = [text for text in group.record["warnings"] if text.startswith("LEAK: ")]
    ours = f"LEAK: {group.train_data} into {group.data}: "
    return tuple(text for text in found if " into " not in text or text.startswith(ours))


def interval_note(record: Record, more: str = "") -> str:
    """How the intervals were made, and what more there is to say of them."""
    made = record["intervals"]
    told = f"Intervals: {made['level']:.0%}, {made['method']}, {made['replicates']} replicates"
    return f"{told}; {more}." if more else f"{told}."


def seed_notes(group: Group, *, compared: bool = True) -> tuple[str, ...]:
    """What mean and SD stand for, and which means lack a training; nothing for a single training.

    Args:
        group: the results.
        compared: whether the table has differences with intervals.
    """
    record = group.record
    if not record["over_seeds"]:
        return ()
    seeds = record["config"]["seeds"]
    told = spread_notes(record)[0] + (
        " The interval of a difference is that of the mean difference over these trainings, from a bootstrap over "
        "samples: it does not hold the spread between trainings."
        if compared
        else ""
    )
    short = [
        f"{entry['defense']} in {entry['scenario']} (seeds {', '.join(map(str, entry['seeds']))} only)"
        for entry in group.entries
        if not failed(entry) and len(entry["seeds"]) < len(seeds)
    ]
    return (told, *([f"Not every training was evaluated: {'; '.join(short)}."] if short else []))


def spread_notes(record: Record) -> tuple[str, ...]:
    """What mean and SD stand for; nothing for a single training."""
    seeds = record["config"]["seeds"]
    told = (
        f"Mean ± SD over {len(seeds)} trainings (seeds {', '.join(map(str, seeds))}); SD is the sample standard "
        "deviation (n - 1)."
    )
    return (told,) if record["over_seeds"] else ()
