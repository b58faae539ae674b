# Mailhaul. `make run` shows it at work, `make test` tests it. Nothing but Python 3.11 (or later) and pip is needed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONFIG ?=
export NO_MKDOCS_2_WARNING := 1
# Compiled tests are kept, whatever the environment says: rewriting their assertions takes every process six seconds.
export PYTHONDONTWRITEBYTECODE :=
# The tests wait for servers most of the time, so that two cores serve six processes.
PYTEST_ARGS ?= -n 6 --dist loadfile --no-loadscope-reorder
.DEFAULT_GOAL := help

.PHONY: help run unit test compiled coverage lint format hooks lock docs screenshots site bench servers cluster clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/run.stamp  ## the demonstration, or with CONFIG=my.yaml the real thing
	@exec $(BIN)/mailhaul up $(if $(CONFIG),--config $(CONFIG))

unit: $(VENV)/dev.stamp  ## the quick tests: no servers, less than a minute on two cores
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not server" tests/unit

test: $(VENV)/dev.stamp servers  ## every test; installs the servers the tests need where it may
	$(BIN)/pytest $(PYTEST_ARGS)

compiled: $(VENV)/dev.stamp  ## the MIME parser as machine code in build/compiled, and its tests; needs a C compiler
	$(BIN)/python -m tools.compiled
	MAILHAUL_TEST_PARSER=compiled $(BIN)/pytest -q -o "pythonpath=build/compiled ." tests/unit/mime

coverage: $(VENV)/dev.stamp servers  ## lines and branches that the unit and contract tests do not reach
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow" --cov --cov-report=term tests/unit tests/contract

lint: $(VENV)/dev.stamp  ## format, style, types, import direction, Dockerfile, lock file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/Dockerfile
	tests/check-lock $(BIN)/uv
	$(MAKE) --no-print-directory site

format: $(VENV)/dev.stamp  ## format the code, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/dev.stamp servers  ## the benchmarks; they print tables
	@tests/install-servers mpop fetchmail getmail || true  # the tables name those that are missing
	$(BIN)/python -m tests.benchmarks.mime
	$(BIN)/python -m tests.benchmarks.pop3
	$(BIN)/python -m tests.benchmarks.mailboxes
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.empty_polls
	$(BIN)/python -m tests.benchmarks.large_mail
	$(BIN)/python -m tests.benchmarks.recovery
	$(BIN)/python -m tests.benchmarks.deletions
	$(BIN)/python -m tests.benchmarks.relay
	$(BIN)/python -m tests.benchmarks.throughput
	$(BIN)/python -m tests.benchmarks.floor --messages 2000 --runs 5
	$(BIN)/python -m tests.benchmarks.peers --messages 2000
	$(BIN)/python -m tests.benchmarks.processors
	$(BIN)/python -m tests.benchmarks.catalog --messages 100000

hooks: $(VENV)/dev.stamp  ## run the quick checks before each commit, and the types before each push
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

lock: $(VENV)/dev.stamp  ## resolve the dependencies anew
	tests/lock $(BIN)/uv

docs: $(VENV)/dev.stamp  ## the pages that are made from the code
	$(BIN)/python -m tools.documents

screenshots: $(VENV)/dev.stamp  ## the pictures of the console in the documents; needs Chromium
	$(BIN)/python -m tests.support.console_pictures

site: $(VENV)/dev.stamp  ## the documents as a site in site/; fails on dead links
	$(BIN)/mkdocs build --strict

servers:  ## install the servers that the tests need, where it may
	@tests/install-servers dovecot prometheus clamav rabbitmq redis faketime chromium postgresql || true  # their tests skip and say so, or fail with CI=true
	@tests/install-courier || true
	@tests/install-checkov || true
	@tests/install-crds || true
	@tests/install-kyverno || true
	@tests/install-azurite || true
	@tests/install-axe || true
	@tests/install-gcs || true
	@tests/install-kafka || true
	@tests/install-oidc || true
	@tests/install-redis62 || true
	@tests/install-s3

cluster: $(VENV)/dev.stamp  ## the chart in a real Kubernetes node, built here; half an hour and more, as root
	@tests/install-kubernetes
	@MAILHAUL_TEST_S3=versitygw tests/install-s3
	@$(BIN)/python -m tests.cluster $(CLUSTER_ARGS)

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Mailhaul needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp requirements/run.txt pyproject.toml
	$(PIP) install --quiet --require-hashes -r requirements/run.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

clean:  ## remove everything that was made here
	rm -rf $(VENV) .tools build site mailhaul-demo
