# make demo          a small search, from an empty checkout to a report
# make test          everything that must hold: style, types, layers, tests, packaging
# make docs          the documents and the reference as a web site: build/docs/index.html
# make venv          only the set-up that all share
# make test-lowest   the tests with the oldest releases that pyproject.toml allows; needs Python 3.10

PYTHON ?= python3
VENV ?= .venv
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
# Its date says which pyproject.toml, setup.py and constraints.txt the environment was made from.
STAMP := $(VENV)/.raynas-installed

.DEFAULT_GOAL := help
.PHONY: help venv demo docs test types tests test-lowest

help:
	@sed -n 's/^# make/make/p' Makefile

venv: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
		{ echo "raynas needs Python 3.10 to 3.13, and '$(PYTHON)' is not one of them: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,vision]"
	$(BIN)/python scripts/dev/types_and_layers.py --only-lay-out
	@touch $@

demo: $(STAMP)
	$(BIN)/python scripts/run_tune.py --demo

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	$(BIN)/python -m sphinx -W -q --keep-going docs build/docs

# Two processes for the tests that need Ray and mostly wait, one for the rest: see tests/conftest.py.
IN_PARALLEL := --numprocesses 3 --dist loadscope

# Ray asks for a token since 2.59 and reports usage: neither belongs in a test.
test test-lowest: export RAY_AUTH_MODE = disabled
test test-lowest: export RAY_USAGE_STATS_ENABLED = 0
# Some hundred processes import raynas: without bytecode each compiles it, which takes half a second.
test test-lowest: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory --jobs=2 types tests

# Beside each other: the types take a minute and more on one core.
types:
	$(BIN)/python scripts/dev/types_and_layers.py

tests:
	$(BIN)/python -m pytest $(IN_PARALLEL)

LOWEST := .venv-lowest
test-lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt \
		--editable ".[bohb,vision]" build hypothesis pytest pytest-timeout pytest-xdist setuptools
	$(LOWEST)/$(SCRIPTS)/python -m pytest $(IN_PARALLEL) -W default
