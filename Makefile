# Everything is one of: make demo, make test. The rest is for people who change the code.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Empty: the first Python that is new enough.
PYTHON ?=
PY := .venv/bin/python
STAMP := .venv/installed.stamp

# An environment knows its own place; one that was copied or moved with the checkout is made anew.
MOVED := $(if $(subst x$(CURDIR),,x$(shell cat $(STAMP) 2>/dev/null)),moved)

# Compiled modules are kept: without them every start of a program compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.PHONY: moved help install servers test suites demo bench prove lint format lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: $(STAMP) ## Make .venv from the lock files (does nothing when it is up to date)
	@:

$(STAMP): requirements.lock bootstrap.lock pyproject.toml scripts/install.sh scripts/apt.sh $(MOVED)
	@scripts/install.sh $(PYTHON)

servers: ## Put PostgreSQL's and Prometheus's programs in place for the tests
	@scripts/servers.sh

test: install servers lint suites ## Every check: lint, types and all suites with their time budgets

suites: install
	@$(PY) scripts/run_suites.py $(SUITES)

demo: install ## The main job end to end on this machine
	@$(PY) -m scripts.demo

bench: install ## Measure the numbers docs/performance.md promises
	@$(PY) scripts/bench.py

prove: install ## Random failures against the real thing, longer than the tests
	@$(PY) -m scripts.prove
	@$(PY) -m scripts.prove_worlds

lint: install ## ruff and mypy, nothing changed
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy --no-error-summary

format: install ## Let ruff format and fix what it can
	@$(PY) -m ruff check --quiet --fix .
	@$(PY) -m ruff format --quiet .

lock: ## Write requirements.lock and bootstrap.lock anew from pyproject.toml (UPGRADE=1 moves all pins)
	@scripts/lock.sh

clean: ## Remove the environment, caches and outputs
	@rm -rf .venv build dist demo-out bench-out prove-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
