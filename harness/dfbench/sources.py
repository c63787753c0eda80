"""The version of a component that declares none: a hash of its source files."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from dfbench.errors import ContractError


def source_hash(module: str) -> str:
    """SHA-256 (hex) over the ``.py`` files of a module's top-level package, found without importing it.

    Paths inside the package and contents count; where the package is installed does not. Read once per process.

    Raises:
        ContractError: the package is not installed, or has no source files.
    """
    return _package_hash(module.partition(".")[0])


@cache
def _package_hash(package: str) -> str:
    found = find_spec(package)
    if found is None:
        raise ContractError(f"the package {package!r} is not installed, though a plugin names it as a target")
    roots = [Path(root) for root in found.submodule_search_locations or []]
    files = sorted((path.relative_to(root).as_posix(), path) for root in roots for path in root.rglob("*.py"))
    if not roots and found.origin and found.origin.endswith(".py"):
        files = [(Path(found.origin).name, Path(found.origin))]
    if not files:
        raise ContractError(f"the package {package!r} has no source files to hash: declare a version in its specs")
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
