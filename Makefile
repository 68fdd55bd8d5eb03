# Vitrine: everything a person or CI runs. `make` alone prints the list.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Where a container forbids it, every process compiles anew what it imports: seconds of each task's and test's.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALLED := $(VENV)/.installed
PEERS := $(or $(VITRINE_HOME),var)/peers
LOCK := $(UV) pip compile setup.cfg --extra dev --python-version 3.11 --custom-compile-command "make lock" --quiet

.PHONY: help setup lock check lock-in-step format test test-slow week night demo up down status bench bench-peers lock-peers

help: ## Print this list
	@grep -hE '^[a-z][a-z%-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 14

setup: $(INSTALLED) ## Install what the lock pins into .venv; fetch jars, a Java if there is none, and the demo's baskets
	@$(BIN)/python -m jobs.house.setup

$(INSTALLED): requirements.lock conf/pins/uv.txt setup.cfg pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "Vitrine needs Python 3.11: install it, or say PYTHON=path/to/python3.11." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what requirements.lock pins."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement conf/pins/uv.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --compile-bytecode --require-hashes --requirements requirements.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@echo "Compiling what numba compiles."
	@$(BIN)/python -m jobs.compiled
	@touch $@

lock: $(INSTALLED) ## Pin setup.cfg's dependencies, with hashes, in requirements.lock
	$(LOCK) --generate-hashes --output-file requirements.lock

check: setup lock-in-step ## Check format, lint, types, import layers, and the lock against setup.cfg
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Only the pins are compared: a release may get another wheel, and so another hash, at any time.
lock-in-step: $(INSTALLED)
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; cp requirements.lock $$scratch/lock; \
	$(LOCK) --output-file $$scratch/lock > /dev/null; \
	diff <(grep -oE '^[^ #]+==[^ ]+' requirements.lock) <(grep -oE '^[^ #]+==[^ ]+' $$scratch/lock) \
	|| { echo "requirements.lock is not in step with setup.cfg: run make lock." >&2; exit 1; }

format: $(INSTALLED) ## Put the code in its format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Two workers: one drives Airflow, which waits a lot, and the other does all else meanwhile.
test: setup ## Run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

test-slow: setup ## Run the tests that make test leaves out: the store on Cassandra, a replica that takes over
	$(BIN)/pytest -m slow

week: setup ## Run a week of nights by the real scheduler, with faults, as tests/week tells (about an hour)
	@$(BIN)/python -m tests.week

backfill-%: setup ## Load so many days through Airflow, run by run and as one interval, as in make backfill-30
	@$(BIN)/python -m tests.week --backfill $*

kills-%: setup ## Load days through Airflow, every task killed and cleared once in each of so many rounds, as in make kills-3
	@$(BIN)/python -m tests.week --kills $*

night: setup ## Run the next night of the demo that is there, and say how long it took
	@$(BIN)/python -m tests.week --demo

demo: setup ## The main job on real baskets: lake, tables, bandit, layouts, store, and what the policy is worth
	@$(BIN)/vitrine demo

up: setup ## Start the engine and Airflow on the demo's lake, and print address and login
	@case ",$${VITRINE_OVERLAY:-demo}," in *,demo,*) $(BIN)/vitrine demo-lake;; esac
	@$(BIN)/vitrine up

down: ## Stop everything that was started
	@if test -x $(BIN)/vitrine; then $(BIN)/vitrine down; else echo "Nothing is set up, so nothing runs."; fi

status: $(INSTALLED) ## Say what runs, and where
	@$(BIN)/vitrine status

bench: setup bench-peers ## Run all benchmarks
	@$(BIN)/python -m tests.bench

bench-%: setup ## Run one benchmark, as in make bench-job
	@$(BIN)/python -m tests.bench $*

bench-bandit bench-ope bench-rank: $(PEERS)/.installed

bench-peers: $(PEERS)/.installed ## Install what the benchmarks compare with, in an environment of its own

$(PEERS)/.installed: conf/pins/peers.txt $(INSTALLED)
	@$(UV) venv --quiet --clear --python $(BIN)/python $(PEERS)
	@VIRTUAL_ENV=$(PEERS) $(UV) pip install --quiet --no-deps --require-hashes --requirements conf/pins/peers.txt
	@touch $@

lock-peers: $(INSTALLED) ## Pin conf/pins/peers.in, with hashes, in conf/pins/peers.txt
	$(UV) pip compile conf/pins/peers.in --no-deps --python-version 3.11 --custom-compile-command "make lock-peers" --quiet --generate-hashes --output-file conf/pins/peers.txt
