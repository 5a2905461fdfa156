"""Builds the compiled kernels of rows and of copy data; everything else about the package is in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:
    sys.exit("error: Cython is needed to build querywarden (pip install Cython); there is no slow fallback for the row kernels")

FOLDER = Path("src/querywarden/postgresql")

# A failed compile is a failed installation: `optional` stays False, since a proxy without its kernels would be slow without saying so.
EXTENSIONS = [
    Extension(
        f"querywarden.postgresql.{name}",
        [str(FOLDER / f"{name}.pyx")],
        depends=[str(path) for path in sorted(FOLDER.glob("*.pxi"))],
        extra_compile_args=["-O3"],
        optional=False,
    )
    for name in ("copy_rows", "rows")
]

setup(ext_modules=cythonize(EXTENSIONS, language_level=3))
