"""A contact sheet of any data set: what a detector is going to see."""

from __future__ import annotations

import random
from collections import defaultdict

from PIL import Image, ImageDraw, ImageFont

from dfbench.contracts import FAKE, Dataset
from dfbench.errors import DataError
from dfbench.rng import derive_seed

GAP, CAPTION, TITLE = 6, 14, 18


def contact_sheet(
    dataset: Dataset, split: str = "train", per_row: int = 8, rows: int = 6, seed: int = 0
) -> Image.Image:
    """Random samples of one split, in rows of real images and of each manipulation by turns.

    Args:
        dataset: a prepared data set.
        split: ``train``, ``val`` or ``test``.
        per_row: samples in a row.
        rows: rows of samples at most, but one for each kind.
        seed: of the choice, and of the fakes that a training split draws for epoch 0.

    Returns:
        An RGB image on white; every row has a title, every sample its video as caption.

    Raises:
        DataError: the split is empty.
    """
    source = dataset.split(split)
    kinds: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(source.samples):
        kinds[(sample.manipulation or "fake") if sample.label == FAKE else "real"].append(index)
    if not kinds:
        raise DataError(f"the {split} split is empty: nothing to show")
    for kind, indices in kinds.items():
        random.Random(derive_seed("preview", seed, split, kind)).shuffle(indices)
    order = sorted(kinds, key=lambda kind: (kind != "real", kind))
    turns = [(kind, n * per_row) for n in range(rows) for kind in order if n * per_row < len(kinds[kind])]
    turns = turns[: max(rows, len(order))]
    height, width = source.pixels(0, epoch=0, seed=seed).shape[:2]
    row_height = TITLE + height + CAPTION + GAP
    sheet = Image.new("RGB", (GAP + per_row * (width + GAP), GAP + len(turns) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    title, caption = ImageFont.load_default(13), ImageFont.load_default(10)
    for row, (kind, start) in enumerate(turns):
        top = GAP + row * row_height
        text = kind if kind == "real" else f"fake: {kind}"
        draw.text((GAP, top), f"{text} ({split}, {len(kinds[kind])} samples)", fill="black", font=title)
        for column, index in enumerate(kinds[kind][start : start + per_row]):
            left = GAP + column * (width + GAP)
            sheet.paste(Image.fromarray(source.pixels(index, epoch=0, seed=seed)), (left, top + TITLE))
            name = _fit(source.samples[index].video, width, caption)
            draw.text((left, top + TITLE + height), name, fill="black", font=caption)
    return sheet


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of ``text`` that fits into ``width`` pixels; ends differ more than beginnings."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[1:]
    return text
