"""FaceForensics++ (Rossler et al., ICCV 2019) in its official and its flat layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dfbench.contracts import FAKE, REAL, SPLITS
from dfbench.corpus import Clip, Group, Survey
from dfbench_data.entries import few
from dfbench_data.sequences import Sequences

OPTIONAL = ("FaceShifter",)
"""Added to the release later: a download without it is complete."""

VIDEOS = 1000
"""Of each folder in the official release."""

IDS = {"train": 720, "val": 140, "test": 140}

_ID = re.compile(r"[A-Za-z0-9-]+")

Pairs = dict[str, list[tuple[str, str]]]


class FaceForensics(Sequences):
    """FaceForensics++: 1000 originals from YouTube, and as many fakes by each manipulation.

    ``train.json``, ``val.json`` and ``test.json`` beneath the root or in ``splits`` list pairs of ids; both directions
    of a pair are fakes, ``TGT_SRC.mp4``: the face of ``SRC`` in the clip ``TGT``. See :class:`Sequences` for folders.
    """

    title = "FaceForensics++"
    originals = "original"
    real = "youtube"
    flat = ("original", "original_sequences/original", "original_sequences/youtube", "original_sequences")
    fakes = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")

    def survey(self) -> Survey:
        pairs, errors = read_pairs(self.root)
        originals, fakes, doubtful = _split_of_names(pairs)
        clips: list[Clip] = []
        groups: list[Group] = []
        missing: list[str] = []
        extra: list[str] = []
        for name in (self.originals, *self.fakes):
            place, folder, found, others = self.videos(name)
            splits = originals if name == self.originals else fakes
            extra += [f"{place}/{other}" for other in others]
            if folder is None or not found:
                groups.append(Group(name, None if name in OPTIONAL else VIDEOS, 0))
                missing += [] if name in OPTIONAL else [f"{place} ({VIDEOS} videos)"]
                continue
            used = [_clip(folder / found[stem], name, stem, splits[stem]) for stem in found if stem in splits]
            clips += used
            missing += [f"{place}/{stem}.mp4" for stem in splits if stem not in found]
            if errors:  # without all split files, nobody knows what else belongs to the release
                groups.append(Group(name, VIDEOS, len(found)))
                continue
            extra += [f"{place}/{found[stem]}" for stem in found if stem not in splits]
            groups.append(Group(name, VIDEOS, len(used)))
            for split, count in IDS.items():
                groups.append(Group(f"{name} {split}", count, sum(clip.split == split for clip in used)))
        return Survey(
            clips=tuple(sorted(clips, key=lambda clip: clip.video)),
            groups=tuple(groups),
            missing=tuple(sorted(missing, key=lambda line: (line.endswith(".mp4"), line))),  # whole folders first
            extra=tuple(sorted(extra)),
            errors=tuple(errors),
            notes=tuple(doubtful if errors else [*doubtful, *_sizes(pairs)]),
        )


def read_pairs(root: Path) -> tuple[Pairs, list[str]]:
    """The pairs of ids of each split, and what is wrong with its file: one line each."""
    pairs: Pairs = {}
    errors = []
    for split in SPLITS:
        file = f"{split}.json"
        cure = "copy it from dataset/splits of the FaceForensics repository"
        path = next((path for path in (root / file, root / "splits" / file) if path.is_file()), None)
        pairs[split] = []
        if path is None:
            errors.append(f"{file} is missing: {cure} into the top folder or its folder splits")
            continue
        try:
            listed = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            errors.append(f"{file} cannot be read ({error}): {cure} again")
            continue
        wrong = [entry for entry in listed if not _is_pair(entry)] if isinstance(listed, list) and listed else [listed]
        if wrong:
            errors.append(f"{file} must list pairs of ids, but has {json.dumps(wrong[0])[:60]}: {cure} again")
        else:
            pairs[split] = [(a, b) for a, b in listed]
    return pairs, errors


def _is_pair(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(i, str) and _ID.fullmatch(i) for i in entry)


def _split_of_names(pairs: Pairs) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Splits of the originals and of the fakes by name, the first that lists them; and a note on those in two."""
    originals: dict[str, str] = {}
    fakes: dict[str, str] = {}
    twice: dict[str, str] = {}
    for split, listed in pairs.items():
        for a, b in listed:
            for names, known in (((a, b), originals), ((f"{a}_{b}", f"{b}_{a}"), fakes)):
                for name in names:
                    if known.setdefault(name, split) != split:
                        twice[name] = f"{name} ({known[name]} and {split})"
    if not twice:
        return originals, fakes, []
    return originals, fakes, [f"in two split files, and used as the first says: {few(list(twice.values()))}"]


def _clip(path: Path, folder: str, stem: str, split: str) -> Clip:
    target, _, source = stem.partition("_")
    if not source:
        return Clip(path, f"{folder}/{stem}", REAL, split, target_identity=target)
    return Clip(path, f"{folder}/{stem}", FAKE, split, folder, source, target)


def _sizes(pairs: Pairs) -> list[str]:
    sizes = {split: 2 * len(listed) for split, listed in pairs.items()}
    if sizes == IDS:
        return []
    return [f"the split files list {_counts(sizes)} videos; the official ones list {_counts(IDS)}"]


def _counts(sizes: dict[str, int]) -> str:
    return ", ".join(f"{n} {split}" for split, n in sizes.items())
