"""Builds the compiled row kernel; everything else about the package is in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:
    sys.exit("error: Cython is needed to build querywarden (pip install Cython); there is no slow fallback for the row kernel")

FOLDER = Path("src/querywarden/postgresql")

# A failed compile is a failed installation: `optional` stays False, since a proxy without its kernel would be slow without saying so.
EXTENSIONS = [
    Extension(
        "querywarden.postgresql.rows",
        [str(FOLDER / "rows.pyx")],
        depends=[str(path) for path in sorted(FOLDER.glob("*.pxi"))],
        extra_compile_args=["-O3"],
        optional=False,
    )
]

setup(ext_modules=cythonize(EXTENSIONS, language_level=3))
