# Needs make and Python 3.11 or later; everything else comes from requirements.lock into .venv.

ROOT ?= examples/runs
VENV := .venv
BIN := $(VENV)/bin
# Scripts in an environment hold its path: a checkout that was moved needs it anew.
MADE := $(VENV)/.made-$(shell pwd | cksum | cut -d ' ' -f 1)
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
RECORD ?= docs/performance/record.json
PLOTS := $(VENV)/plots/.made
WRITE_PERFORMANCE = $(BIN)/python -m benchmarks.performance.document "$(RECORD)" \
	&& $(VENV)/plots/bin/python -m benchmarks.performance.plots "$(RECORD)" docs/performance
PRISMA := tests/prisma/node_modules/.package-lock.json
COMPILE := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
# Tests are never told where somebody's database is.
ALONE := unset DATABASE_URL REDIS_URL $$(env | sed -n 's/^\(RUNFERRY_[A-Za-z0-9_]*\)=.*/\1/p');

# Tests and backfills start many processes: bytecode that is not kept would be compiled anew in each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help backfill pipeline test lint faults phases prisma bench performance performance-document lock audit
.DEFAULT_GOAL := help

help:
	@echo 'make backfill            carry the example runs to PostgreSQL and show what became of them'
	@echo 'make backfill ROOT=DIR   the same for the run folders in DIR'
	@echo 'make pipeline            run the example pipeline through the stage store; RUNFERRY_PHASE=... for another phase,'
	@echo '                         ROOT=DIR for its run folders (.runferry/pipeline)'
	@echo 'make test                everything that CI runs: format, lint, import rules, types, tests'
	@echo 'make lint                the same without the tests'
	@echo 'make faults              some minutes of killed workers and stores; SEED=... repeats a run'
	@echo 'make phases              some minutes of killed producers and of phases switched under a pipeline'
	@echo 'make prisma              ask the real Prisma whether it agrees (needs node and npm)'
	@echo 'make bench               measure the backfill against a plain script and a bare COPY'
	@echo 'make performance         measure everything, some 15 minutes, and write docs/performance.md'
	@echo 'make lock                pin the dependencies again (needs uv)'
	@echo 'make audit               look every pin up in the public database of advisories; SERVICE=pypi for another'
	@echo
	@echo 'DATABASE_URL and REDIS_URL name services of your own; with neither, the embedded ones are used.'
	@echo 'PYTHON=... chooses the Python that makes .venv. YES=1 lets the examples go to services of your own.'

backfill: $(MADE)
	@$(BIN)/ops services start --quiet --root "$(ROOT)"
	@$(BIN)/ops schema apply
	@$(BIN)/producer backfill --all --root "$(ROOT)" --wait --run-workers 2; backfill=$$?; \
	[ $$backfill -le 1 ] || exit $$backfill; \
	echo; $(BIN)/ops reconcile --all --root "$(ROOT)" --run-workers 2; report=$$?; \
	[ $$report -le 1 ] || exit $$report; \
	echo; \
	[ -n "$$DATABASE_URL" ] || echo 'PostgreSQL and Redis go on running: $(BIN)/ops services stop ends them.'; \
	command -v ops >/dev/null || echo 'For ops, producer and worker by name:  export PATH="$(CURDIR)/$(BIN):$$PATH"'; \
	[ -n "$$RUNFERRY_ROOT" ] || echo "For the other commands to look at this tree:  export RUNFERRY_ROOT=\"$$(cd "$(ROOT)" && pwd)\""; \
	[ $$backfill -eq 0 ] && exit $$report; exit $$backfill

pipeline: $(MADE)
	@[ -z "$$DATABASE_URL$$REDIS_URL" ] || [ "$$YES" = 1 ] || { \
		echo 'make pipeline writes example runs, and DATABASE_URL or REDIS_URL names services of your own.' >&2; \
		echo 'Unset both to use the embedded services, or set YES=1 to write the examples there.' >&2; exit 2; }
	@$(BIN)/ops services start --quiet
	@$(BIN)/ops schema apply
	@# Never into the tree that RUNFERRY_ROOT names: these runs are nobody's.
	@RUNFERRY_ROOT="$(if $(filter command,$(firstword $(origin ROOT))),$(ROOT),.runferry/pipeline)" $(BIN)/python -m examples.pipeline --run-workers 1 $(ARGS)
	@$(BIN)/ops phase show

test: lint
	@$(ALONE) $(BIN)/pytest --numprocesses auto --dist load --maxschedchunk 4 $(ARGS)

lint: $(MADE)
	@$(ALONE) $(BIN)/ruff format --check .
	@$(ALONE) $(BIN)/ruff check .
	@$(ALONE) $(BIN)/lint-imports --no-logo
	@$(ALONE) $(BIN)/mypy

faults: $(MADE)
	@$(ALONE) FAULTS_LONG=1 FAULTS_SEED=$(SEED) $(BIN)/pytest tests/faults $(ARGS)

phases: $(MADE)
	@$(ALONE) KILLS=200 RUNS=100 $(BIN)/pytest tests/phases $(ARGS)

prisma: $(MADE) $(PRISMA)
	@$(ALONE) $(BIN)/pytest tests/prisma/prisma_agrees.py $(ARGS)

$(PRISMA): tests/prisma/package-lock.json
	@command -v npm >/dev/null || { echo 'make prisma needs Node.js 18.18 or later and npm.' >&2; exit 2; }
	@cd tests/prisma && npm ci --no-progress --loglevel=error
	@touch $@

bench: $(MADE)
	@$(ALONE) $(BIN)/python -m benchmarks.backfill $(ARGS)

# What was measured is written down even where a step failed: the document says so.
performance: $(MADE) $(PLOTS)
	@$(ALONE) $(BIN)/python -m benchmarks.performance --json "$(RECORD)" $(ARGS); measured=$$?; \
	[ $$measured -le 1 ] || exit $$measured; \
	$(WRITE_PERFORMANCE) && exit $$measured

performance-document: $(MADE) $(PLOTS)
	@$(WRITE_PERFORMANCE)

# Drawing needs what nothing else does.
$(PLOTS): $(MADE) benchmarks/plots.lock
	@$(BIN)/python -m venv --clear $(VENV)/plots
	@$(VENV)/plots/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r benchmarks/plots.lock
	@touch $@

lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv: pip install uv' >&2; exit 2; }
	@echo setuptools | $(COMPILE) --upgrade --all-extras --output-file requirements.lock pyproject.toml -
	@$(COMPILE) --constraints requirements.lock --output-file ops/deploy/requirements.lock pyproject.toml
	@echo setuptools | $(COMPILE) --constraints requirements.lock --output-file ops/deploy/build.lock -
	@echo pip-audit | $(COMPILE) --upgrade --constraints requirements.lock --output-file ops/deploy/audit.lock -
	@echo matplotlib | $(COMPILE) --upgrade --constraints requirements.lock --output-file benchmarks/plots.lock -

# Not a part of the gate: it needs a network, and its answer changes without a change here.
audit: $(VENV)/audit/.made
	@$(BIN)/python tests/support/dependency_audit.py $(or $(SERVICE),osv) $(VENV)/audit/bin/pip-audit \
		requirements.lock ops/deploy/audit.lock benchmarks/plots.lock

$(VENV)/audit/.made: $(MADE) ops/deploy/audit.lock
	@$(BIN)/python -m venv --clear $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r ops/deploy/audit.lock
	@touch $@

# An environment that works here is only brought up to date.
$(MADE): requirements.lock pyproject.toml
	@new_enough() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	moved() { [ ! -e '$@' ] && ls $(VENV)/.made-* >/dev/null 2>&1; }; \
	if new_enough $(BIN)/python && ! moved; then exit 0; fi; \
	python='$(PYTHON)'; \
	for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
		[ -n "$$python" ] || { new_enough $$candidate && python=$$candidate; } || true; \
	done; \
	new_enough "$$python" || { \
		echo 'runferry needs Python 3.11 or later; say where it is: make PYTHON=/path/to/python3.11' >&2; exit 2; }; \
	echo 'Making $(VENV), once: this takes a minute.'; \
	"$$python" -m venv --clear $(VENV) || { \
		echo 'This Python makes no environments; on Debian and Ubuntu: apt install python3-venv' >&2; exit 2; }
	@$(PIP) --require-hashes --no-compile -r requirements.lock
	@# What pip does with one core; a file that another Python is meant for stays as it is.
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@$(PIP) --no-deps --no-index --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@
