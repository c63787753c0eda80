"""The data sets that are prepared from downloads: what they are called where crops are looked for."""

from __future__ import annotations

from dfbench.prepared import PreparedSet


class FaceForensicsCrops(PreparedSet):
    """Face crops of FaceForensics++."""

    name = "ffpp"


class DeepFakeDetectionCrops(PreparedSet):
    """Face crops of DeepFakeDetection; a test split only."""

    name = "dfd"


class CelebDF2Crops(PreparedSet):
    """Face crops of Celeb-DF v2."""

    name = "celebdf2"


class DFFDCrops(PreparedSet):
    """Face crops of DFFD."""

    name = "dffd"


class DFDCCrops(PreparedSet):
    """Face crops of DFDC."""

    name = "dfdc"
