"""The compiled search as plain Python: the same sources, loaded a second time, whose methods a test can replace."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import energysim.mapping
from hatch_build import SEARCH


def plain_modules() -> dict[str, ModuleType]:
    """The modules from their .py files, importing each other; the compiled ones stay where they were."""
    folder = Path(next(iter(energysim.mapping.__path__)))
    names = [f"energysim.mapping.{name}" for name in SEARCH]
    before = {name: sys.modules.pop(name, None) for name in names}
    found = {}
    try:
        for short, name in zip(SEARCH, names, strict=True):
            spec = spec_from_file_location(name, folder / f"{short}.py")
            assert spec is not None
            assert spec.loader is not None
            sys.modules[name] = found[short] = module_from_spec(spec)
            spec.loader.exec_module(found[short])
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update({name: module for name, module in before.items() if module is not None})
    return found
