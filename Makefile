# medbench: `make help` lists the targets. Everything is installed in a virtual environment, .venv by default.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := $(VENV)/lowest
PYTEST := -m pytest -q -n $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help setup demo pr test test-cluster coverage lowest lint type format bench bench-gpu docs build smoke clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv and install medbench with the pinned libraries (quick the second time)

$(READY): pyproject.toml constraints.txt hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "'$(PYTHON)' is older than Python 3.10, which medbench needs. Name a newer one: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its modules venv or ensurepip are missing." >&2; \
	  echo "Install them (Debian, Ubuntu: the package python3-venv) or name another: make PYTHON=python3.12 setup" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --constraint constraints.txt --build-constraint constraints.txt --editable . --group dev
	@touch $@

demo: $(READY) ## toy data end to end: a metric table in under a minute, offline
	$(BIN)/medbench demo

pr: lint type test test-cluster ## run this before a pull request: lint, types and tests

test: $(READY) ## all tests but those of test-cluster
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

test-cluster: $(READY) ## the tests that start clusters of processes, and a Slurm of their own where it is installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cluster

coverage: $(READY) ## all tests, and the share of lines that they run
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) --cov --cov-report=term:skip-covered

# Old libraries call what newer ones deprecate. That is no fault of medbench, so it fails no test here.
lowest: ## all tests with the lowest versions that pyproject.toml allows, in an environment of their own
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --constraint constraints.txt uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable . --group dev
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python $(PYTEST) -W ignore::DeprecationWarning -W ignore::FutureWarning

lint: type ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY) ## mypy alone
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then set -x; $(BIN)/mypy -p medbench; \
	else echo "types are checked on Python 3.11 or newer only: the libraries' stubs for 3.10 are out of date"; fi

format: $(READY) ## let ruff format the code and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## benchmarks on this machine's processor: a table of ratios
	PYTHONPATH=tests $(BIN)/python -m benchmarks --write docs/benchmarks-cpu.md

bench-gpu: $(READY) ## benchmarks on a CUDA device, the most important first, within eight minutes
	PYTHONPATH=tests $(BIN)/python -m benchmarks.gpu --write docs/benchmarks-gpu.md

docs: $(READY) ## write the reference from cards and commands, README's picture and table from docs/example, and the site
	$(BIN)/python docs/make_cards.py
	$(BIN)/python docs/make_example.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

build: $(READY) ## build the wheel and the source archive, into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

smoke: build ## install the built wheel in a new environment outside the checkout and run it there, offline
	@set -ex; place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	  $(PYTHON) -m venv $$place/venv; \
	  $$place/venv/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl; \
	  cd $$place; export HF_HUB_OFFLINE=1; \
	  venv/bin/medbench --version; venv/bin/medbench ls models; venv/bin/medbench demo; \
	  venv/bin/medbench run --model toy-clip --protocol '*' --dataset toy --seeds 1 --set epochs=1 --set views=1 \
	    --set 'learning_rates=[1e-3]' --set shots=2 --set frozen=2 --set kept=2  # every protocol

clean: ## remove what these targets made, including .venv; records and caches are kept
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .coverage
	find bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
