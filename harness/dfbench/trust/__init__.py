"""Verdicts: whether the number of an attacked cell can be believed.

A low success of an attack has two causes, a robust detector or a blunted attack, and the number alone does not tell
which. The checks here look for the second: first at the detector (:mod:`~dfbench.trust.detector`), then at each
attacked cell (:mod:`~dfbench.trust.cell`), then at the cells of a run beside each other
(:mod:`~dfbench.trust.beside`). They follow Athalye et al. (ICML 2018, arXiv:1802.00420), Carlini et al.
(arXiv:1902.06705) and Pintor et al. (NeurIPS 2022, arXiv:2106.09947).
"""
