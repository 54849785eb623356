# medbench: `make help` lists what there is. Everything happens in a virtual environment of its own.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint type format bench bench-gpu docs build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv and install medbench with the pinned libraries (quick the second time)

$(READY): pyproject.toml constraints.txt hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "medbench needs Python 3.10 or newer, and '$(PYTHON)' is not. Name one that is: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its modules venv or ensurepip are missing." >&2; \
	  echo "Install them (Debian, Ubuntu: the package python3-venv) or name another: make PYTHON=python3.12 setup" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --constraint constraints.txt --build-constraint constraints.txt --editable . --group dev
	@touch $@

demo: $(READY) ## toy data end to end: a metric table in under a minute, offline
	$(BIN)/medbench demo

test: $(READY) ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

lint: type ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY) ## mypy alone
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then set -x; $(BIN)/mypy -p medbench; \
	else echo "types are checked on Python 3.11 or newer: the libraries' stubs for 3.10 are older ones"; fi

format: $(READY) ## let ruff set and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## benchmarks on this machine's processor: a table of ratios
	PYTHONPATH=tests $(BIN)/python -m benchmarks --write docs/benchmarks-cpu.md

bench-gpu: $(READY) ## the same on a CUDA device
	PYTHONPATH=tests $(BIN)/python -m benchmarks --device cuda --write docs/benchmarks-gpu.md

docs: $(READY) ## write docs/cards.md from the cards, and README's picture and table from docs/example
	$(BIN)/python docs/make_cards.py
	$(BIN)/python docs/make_example.py

build: $(READY) ## the wheel and the source archive, into dist/
	$(BIN)/python -m build --no-isolation

clean: ## remove what the targets above made, the environment included; records and caches stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .coverage
	find bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
