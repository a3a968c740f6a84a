"""Where the files that travel with the package lie: calibration, models, launch files.

In a checkout they stand beside the package; an install (pip or colcon) puts them under
``<prefix>/share/svam_ros``.
"""

from __future__ import annotations

from pathlib import Path


def shipped_directory(name: str) -> Path:
    """The folder ``calibration``, ``models`` or ``launch`` that came with this package.

    Raises:
        FileNotFoundError: neither a checkout nor an install holds it.
    """
    package = Path(__file__).resolve().parent
    # Beside an installed package stand other people's packages, and one may be called "models".
    in_checkout = (package.parent / "package.xml").is_file()
    candidates = [package.parent / name] if in_checkout else []
    candidates += [parent / "share" / "svam_ros" / name for parent in package.parents]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"the folder '{name}' of svam_ros was found neither in {package.parent} nor under "
        f"share/svam_ros of any parent folder: reinstall the package"
    )
