"""The data sets that are prepared from downloads: what they are called where crops are looked for."""

from __future__ import annotations

from dfbench.prepared import PreparedSet


class FaceForensics(PreparedSet):
    """Face crops of FaceForensics++."""

    name = "ffpp"


class DeepFakeDetection(PreparedSet):
    """Face crops of DeepFakeDetection; a test split only."""

    name = "dfd"


class CelebDF2(PreparedSet):
    """Face crops of Celeb-DF v2."""

    name = "celebdf2"


class DFFD(PreparedSet):
    """Face crops of DFFD."""

    name = "dffd"


class DFDC(PreparedSet):
    """Face crops of DFDC."""

    name = "dfdc"
