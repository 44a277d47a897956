# Everything here works on a bare machine with Python 3.11 and make: each target makes the environment it needs.
# PYTHON=/path/to/python3.12 chooses the interpreter; WORKERS=4 the number of test processes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# The order of the tests and Hypothesis's examples are drawn anew for each commit, so that a red run can be run again.
SEED ?= $(shell printf '%d' 0x$$(git rev-parse --short=7 HEAD 2>/dev/null) 2>/dev/null)
RANDOM_ORDER := --randomly-seed=$(SEED) --hypothesis-seed=$(SEED)
OUT ?= demo-out
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome 2>/dev/null))

# Without bytecode every start compiles all of boto3 and pandas again; some build machines export this.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-input --compile --constraint constraints.txt

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environments -------------------------------------------------------------------------------------------

$(BIN)/python:
	.ci/venv $(VENV)

# pip's own version counts: one from before 25.1 does not know dependency groups.
$(VENV)/.pip: constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --upgrade pip
	touch $@

$(VENV)/.demo: pyproject.toml constraints.txt $(VENV)/.pip
	@echo "installing irkit and what the demo needs into $(VENV)"
	$(PIP_INSTALL) --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.pip
	@echo "installing irkit and what its checks and tests need into $(VENV)"
	$(PIP_INSTALL) --editable '.[demo]' --group dev
	touch $@ $(VENV)/.demo

# JupyterLab slows every start of papermill that shares its environment, so that the workbench has one of its own.
WORKBENCH := .venv-workbench
$(WORKBENCH)/.ready: pyproject.toml constraints.txt
	.ci/venv $(WORKBENCH)
	$(WORKBENCH)/bin/python -m pip install --quiet --no-input --upgrade --constraint constraints.txt pip
	$(WORKBENCH)/bin/python -m pip install --quiet --no-input --compile --constraint constraints.txt \
	  --editable '.[workbench,sim]' --group browser
	touch $@

# --- use ----------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.demo  ## Investigate a compromised instance in the simulated AWS, from trigger to report (OUT=folder)
	.ci/system
	$(BIN)/irkit demo --out $(OUT)

.PHONY: screenshot
screenshot: $(VENV)/.demo  ## Take docs/images/report.png from the report of the last demo, with chromium
	test -n "$(CHROMIUM)" || { echo "chromium is not installed: sudo apt-get install -y chromium" >&2; exit 2; }
	$(BIN)/python docs/screenshot.py --browser "$(CHROMIUM)" --demo $(OUT)

# --- checks and tests ---------------------------------------------------------------------------------------

.PHONY: check
check: $(VENV)/.dev  ## Format, lint, types, notebooks without outputs, docs in step, contents of the wheel
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	git ls-files -z '*.ipynb' | xargs -0 -r $(BIN)/nbstripout --keep-id --verify
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest -q tests/packaging

.PHONY: test
test: check  ## All checks, then all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(RANDOM_ORDER) --durations 15

.PHONY: test-wheel
test-wheel: $(VENV)/.dev  ## The tests against the built wheel, in a clean environment outside the checkout
	BUILD_PYTHON=$(CURDIR)/$(BIN)/python WORKERS=$(WORKERS) .ci/test-wheel $(RANDOM_ORDER)

.PHONY: test-workbench
test-workbench: $(WORKBENCH)/.ready  ## JupyterLab in a headless browser: every notebook opens and runs to its end
	$(WORKBENCH)/bin/python -m pytest tests/workbench $(RANDOM_ORDER) --durations 5

.PHONY: soak
soak: $(VENV)/.dev  ## The exhaustive runs: kills at random moments, a fault at every call of a capture, every write cut short
	$(BIN)/python -m pytest -m soak -n $(WORKERS) --dist loadfile $(RANDOM_ORDER) -rA --show-capture=stdout

.PHONY: bench
bench: $(VENV)/.dev  ## Side-by-side speed, as ratios
	set -e; for bench in benchmarks/*.py; do echo "== $$bench"; $(BIN)/python "$$bench"; done

# --- upkeep -------------------------------------------------------------------------------------------------

.PHONY: docs
docs: $(VENV)/.dev  ## Generate the reference pages again
	$(BIN)/python docs/generate.py

.PHONY: format
format: $(VENV)/.dev  ## Format the code, mend what ruff can mend, strip the notebooks
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	git ls-files -z '*.ipynb' | xargs -0 -r $(BIN)/nbstripout --keep-id

.PHONY: constraints
constraints: $(VENV)/.pip  ## Resolve all dependencies again, to the newest versions, into constraints.txt
	$(BIN)/python .ci/resolve.py > constraints.new
	mv constraints.new constraints.txt

.PHONY: audit
audit: $(VENV)/.dev  ## Known vulnerabilities in the pinned dependencies, and static analysis
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml --severity-level medium irkit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

.PHONY: dist
dist: $(VENV)/.dev  ## Build the source distribution and the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --outdir dist

.PHONY: clean
clean:  ## Remove what the targets above made
	rm -rf $(VENV) .venv-* dist build $(OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis
