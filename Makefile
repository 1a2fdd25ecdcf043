# Each goal works alone on a machine that has Python 3.11 or later and make: what it needs goes into .venv.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
# The first Python that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
T ?= tests
B ?= all

.DEFAULT_GOAL := help
.PHONY: help demo run test check fmt lint types imports docs bench clean

help: ## List the goals
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: $(VENV)/.run ## The main job on the embedded sandbox: three methods, no credential in the client
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/authproxy demo; else $(BIN)/authproxy demo --once; fi

run: $(VENV)/.run ## Serve proxy.yaml
	$(BIN)/authproxy run

test: $(VENV)/.check ## Run the tests; T=tests/core runs some
	PYTHONHASHSEED=0 $(BIN)/pytest -q -n 2 --dist loadfile $(T)

check: $(VENV)/.check lint types imports ## Everything CI runs: format, lint, types, imports, tests with coverage
	PYTHONHASHSEED=0 $(BIN)/pytest -q -n 2 --dist loadfile --cov --cov-report=term:skip-covered

lint: $(VENV)/.check ## Format check and ruff
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.check ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.check ## Imports point one way
	$(BIN)/lint-imports

fmt: $(VENV)/.check ## Fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/.run ## Write docs/reference anew from the program
	$(BIN)/python -m tools.reference

bench: $(VENV)/.check ## Compare with other proxies on this machine; B=small_get asks one question
	$(BIN)/python -m bench $(B)

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) bench/.venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or later with venv found (on Debian: apt install python3-venv). PYTHON=/path/to/python chooses one."; exit 1; fi
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.check: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@ $(VENV)/.run
