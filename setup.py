"""Packages the top-level folders as taskroute.<folder>: site-packages gains one name, not four."""

from setuptools import find_packages, setup

_NAMESPACE = "taskroute"
_FOLDERS = ("schemas", "models", "components", "pipeline")
_PACKAGES = [
    *find_packages(include=[*_FOLDERS, *(f"{folder}.*" for folder in _FOLDERS)]),
    "examples",  # configs that `taskroute demo` and `taskroute init` read: data, no code
]

setup(
    packages=[f"{_NAMESPACE}.{package}" for package in _PACKAGES],
    package_dir={f"{_NAMESPACE}.{folder}": folder for folder in (*_FOLDERS, "examples")},
    package_data={
        f"{_NAMESPACE}.examples": ["*.yaml"],
        f"{_NAMESPACE}.components.report": ["*.html", "*.css"],
    },
)
