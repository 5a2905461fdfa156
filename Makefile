# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# The newest suitable Python that really runs (a pyenv shim may be there without its interpreter) and can make environments.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import sys, venv, ensurepip; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; \
	then echo $$name; break; fi; done)

.PHONY: help setup demo test check lint types imports corpus bench understanding profile lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Quick when nothing changed: the stamp is newer than what the environment is made from.
$(VENV)/.installed: pyproject.toml setup.py requirements.lock $(wildcard src/querywarden/postgresql/*.pyx src/querywarden/postgresql/*.pxi)
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 with venv is needed (Debian: apt-get install python3 python3-venv python3-dev gcc)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) with $$($(BIN)/python --version) (once; takes about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@$(BIN)/python -c 'import querywarden.postgresql.copy_rows, querywarden.postgresql.rows' || { echo "error: the row kernels did not build" >&2; exit 1; }
	@touch $@

setup: $(VENV)/.installed ## make .venv with everything in it, the row kernels compiled

demo: setup ## PostgreSQL, an identity provider and the proxy on this machine; ARGS=--tour plays a scripted tour
	@$(BIN)/python -m querywarden.demo $(ARGS)

test: setup ## all tests; ARGS are pytest's
	$(BIN)/python -m pytest $(ARGS)

lint: setup ## ruff
	$(BIN)/ruff check .

types: setup ## mypy --strict
	$(BIN)/mypy

imports: setup ## the import rings
	$(BIN)/lint-imports

check: lint types imports test ## what CI runs: ruff, mypy, import-linter, all tests

DIALECT ?= pg
SERVER ?= 18
CASES ?= tests/adversarial/corpus/$(DIALECT).yaml
corpus: setup ## the SQL corpus against the proxy: DIALECT=pg CASES=FILE SERVER=15|16|18; ARGS are those of the runner
	$(BIN)/python tests/adversarial/corpus/against_$(DIALECT).py --server $(SERVER) --cases $(CASES) $(ARGS)

bench: setup ## ratios against a direct connection and pgbouncer; ARGS are those of benchmarks/run.py
	$(BIN)/python -m benchmarks.run $(ARGS)

understanding: setup ## what asking the server about a new text costs, and that known texts pay nothing
	$(BIN)/python -m benchmarks.understanding $(ARGS)

profile: setup ## where the time of a statement goes (cProfile of the proxy under pgbench-like load)
	$(BIN)/python -m benchmarks.profile $(ARGS)

lock: ## write requirements.lock anew from the newest versions that pyproject.toml allows
	@test -n "$(PYTHON)"
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --upgrade 'setuptools>=80' Cython
	$(VENV)-lock/bin/pip install --quiet --no-build-isolation '.[dev]'
	{ sed -n '/^#/p' requirements.lock; $(VENV)-lock/bin/pip freeze --all --exclude querywarden --exclude pip; } > requirements.lock.new
	mv requirements.lock.new requirements.lock && rm -rf $(VENV)-lock

clean: ## remove what the other targets made
	rm -rf $(VENV) .demo build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info bench-results
	find src -name '*.so' -delete; find src -name '*rows.c' -delete
