"""Where the accelerators and networks that ship with energysim lie, in a checkout and in an installed wheel."""

from pathlib import Path


def packaged(kind: str) -> dict[str, Path]:
    """Name to file of every packaged YAML of a kind, "hw_configs" or "models", sorted by name."""
    here = Path(__file__).resolve().parent
    installed = here / "_data" / kind
    folder = installed if installed.is_dir() else here.parent / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
