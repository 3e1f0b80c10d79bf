"""Say in which folders the packages of raynas are; everything else about them is in pyproject.toml."""

import shutil

from setuptools import find_packages, setup

FOLDERS = {"raynas": "raynas", "raynas.search_spaces": "search_spaces", "raynas.trials": "trials"}

shutil.rmtree("build/lib", ignore_errors=True)  # setuptools would pack modules that an earlier build has left there
setup(
    package_dir=FOLDERS,
    packages=[
        package
        for name, folder in FOLDERS.items()
        for package in [name, *(f"{name}.{inner}" for inner in find_packages(folder))]
    ],
)
