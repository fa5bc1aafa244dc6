# Aula. `make help` lists what there is; each target sets up what it needs on first use.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# the first of these that runs, and is of a version that Aula supports (a shim may do neither)
PYTHON ?= $(shell for python in python3.12 python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		2>/dev/null && { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MANIFESTS := pyproject.toml constraints.txt $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
SERVICES := auth accounting chat monitoring
SOURCES := $(wildcard libs/*/src services/*/src) conftest.py
TESTS := $(wildcard libs/*/tests services/*/tests) tests
ARGS ?=
# each worker has servers of its own; the tests of a file share a worker
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help setup run demo status down test test-faults test-deep soak bench-accounting bench-stream lint format types check openapi lock clean

help: ## Show this list
	@echo "Aula: make <target> [ARGS=...]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment (.venv) with everything in it

$(STAMP): $(MANIFESTS)
	@test -n "$(PYTHON)" || { \
		echo "Aula needs Python 3.11 or 3.12, and none was found." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { \
		echo "Aula needs Python 3.11 or 3.12; $(PYTHON) is neither." >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments (Debian: apt install python3-venv)." >&2; \
		exit 1; }
	@test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c constraints.txt --group dev
	@touch $@

run: $(STAMP) ## Start the whole platform and follow its logs; Ctrl-C stops it
	@exec $(BIN)/aula up $(ARGS)

demo: $(STAMP) ## Watch a student and a supervisor side by side, then the ledger
	@exec $(BIN)/aula demo $(ARGS)

status: $(STAMP) ## Show what runs where
	@$(BIN)/aula status $(ARGS)

down: $(STAMP) ## Stop the platform from another terminal
	@$(BIN)/aula down $(ARGS)

test: $(STAMP) ## Run all tests against real servers (ARGS=path or -k name)
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-faults: $(STAMP) ## Run the whole table of faults by phase (ARGS='-k killed_later' for a part)
	$(BIN)/pytest tests/faults -m "deep or not deep" $(ARGS)

test-deep: $(STAMP) ## Run the long tests, but for the table of faults (ARGS='-k sequences' for a part)
	$(BIN)/pytest -m deep --ignore tests/faults $(ARGS)

soak: $(STAMP) ## Walk at random over all faults for 10 minutes (ARGS='--minutes 20 --seed 7')
	PYTHONPATH=tests $(BIN)/python -m soak $(ARGS)

bench-accounting: $(STAMP) ## Compare reserve + settle with pgbench and an ORM (ARGS='--rounds 5')
	PYTHONPATH=tests $(BIN)/python -m bench.accounting $(ARGS)

bench-stream: $(STAMP) ## Compare chat's streams with LiteLLM's and others (ARGS='--rounds 1 --streams 10')
	PYTHONPATH=tests $(BIN)/python -m bench.stream $(ARGS)

lint: $(STAMP) ## Check style, formatting and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(STAMP) ## Mend what the linter can mend, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## Check the types (mypy, strict)
	$(BIN)/mypy $(SOURCES)
	@# one by one: each folder of tests has modules of the same names
	@for tests in $(TESTS); do echo "mypy $$tests"; \
		MYPYPATH=$$tests $(BIN)/mypy $$tests || exit 1; done

check: lint types test ## All that CI runs

openapi: $(STAMP) ## Write each service's openapi.json anew
	@for service in $(SERVICES); do \
		$(BIN)/python -m aula_common.web.openapi aula_$$service > $(VENV)/openapi.json && \
		cp $(VENV)/openapi.json services/$$service/openapi.json && \
		echo "services/$$service/openapi.json" || exit 1; done

lock: $(STAMP) ## Pin the newest allowed versions of all packages in constraints.txt
	$(BIN)/uv pip compile -q --universal --upgrade --python-version 3.11 --group dev --no-header \
		--no-annotate --no-emit-index-url | grep -v '^-e ' > $(VENV)/constraints.txt
	cp $(VENV)/constraints.txt constraints.txt

clean: ## Remove the virtual environment and what tools left (never .aula, the data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +
