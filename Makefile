# The same few commands for people and for CI. The first call of each installs what it needs; later calls are quick.

PYTHON ?= $(firstword $(shell command -v python3.11 python3 python))
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench proofs format clean

help:
	@echo "make demo    search, ablate, train, compress and report on the digits data"
	@echo "make test    run the tests"
	@echo "make lint    check style and types"
	@echo "make bench   speed, side by side with others"
	@echo "make proofs  the long tests"

# -- environment: stamps say what is installed ----------------------------------------------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python found: install Python 3.11 or newer, or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ .venv/.core

# -- commands -------------------------------------------------------------------------------------------------------------

demo: .venv/.core
	$(BIN)/winnow run recipes/digits.yaml
	@echo "the report: $(CURDIR)/runs/digits/report.html"

test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

proofs: .venv/.dev
	$(BIN)/python -m pytest -m slow -n 2 --dist loadgroup

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev
	$(BIN)/python benchmarks/fleet.py
	$(BIN)/python benchmarks/architectures.py
	$(BIN)/python benchmarks/study.py

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache
