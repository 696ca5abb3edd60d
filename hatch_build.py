"""Compiles inner loops when the package is built; without a compiler they run as plain Python (or numpy)."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SEARCH = (
    "search_windows",
    "search_state",
    "search_shares",
    "search_ahead",
    "search_rows",
    "search_partial",
    "search_costs",
    "search_classes",
    "search_heaps",
    "search_tree",
    "search_moves",
    "search_climb",
    "search_uneven_bounds",
    "search_uneven_rows",
    "search_uneven_places",
    "search_uneven_times",
    "search_uneven_tree",
)
"""Modules of energysim/mapping with a .pxd beside them."""

KERNELS = (
    *(f"energysim.mapping.{name}" for name in SEARCH),
    "energysim.compressed.huffman_words",
    "energysim.clustering.scalar_loops",
    "energysim.clustering.penalty_loops",
)
"""All modules that are compiled."""

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "infer_types": True,
    "annotation_typing": False,
}


class CompiledKernels(BuildHookInterface):  # type: ignore[misc]
    """Cython in place, then the shared libraries go into the wheel (or stay beside the sources: editable installs)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it packs."""
        try:
            built = compiled(Path(self.root))
        except Exception as error:
            self.app.display_warning(f"energysim: kernels not compiled, searching will be slow: {error}")
            return
        build_data["infer_tag"] = True
        build_data["pure_python"] = False
        build_data["artifacts"] += [f"/{path.relative_to(self.root)}" for path in built]


def compiled(root: Path, names: Sequence[str] = KERNELS) -> list[Path]:
    """Compiles kernels beside their sources and returns the shared libraries."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    flags = ["-O2", "-ffp-contract=off", "-fwrapv"]
    extensions = [Extension(name, [f"{root}/{name.replace('.', '/')}.py"], extra_compile_args=flags) for name in names]
    modules = cythonize(
        extensions,
        compiler_directives=DIRECTIVES,
        build_dir=f"{root}/build/cython",
        quiet=True,
    )
    command = build_ext(Distribution({"ext_modules": modules, "package_dir": {"": str(root)}}))
    command.inplace, command.parallel = True, os.cpu_count()
    command.build_temp = f"{root}/build/cython"
    command.ensure_finalized()
    command.run()
    return [Path(command.get_ext_fullpath(extension.name)) for extension in modules]


if __name__ == "__main__":
    # Names of kernels, or parts of them, make it compile those alone.
    asked = [name for name in KERNELS if any(part in name for part in sys.argv[1:] or [""])]
    for path in compiled(Path(__file__).resolve().parent, asked):
        print(path)
