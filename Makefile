# Everything a newcomer needs: Linux, Python 3.11 or later, and make. Nothing is installed outside this checkout.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
UV := .venv-uv/bin/uv --quiet --no-config
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Behind a proxy that looks into TLS, the system's certificates are those that count. A system without any has uv's own.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem),)
export UV_SYSTEM_CERTS ?= true
endif

.PHONY: help
help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# -- the tool chain: uv into one virtual environment, everything else into others, from the hashed lock ------------------

.venv-uv/.ready: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "NavPlane needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Set PYTHON=python3.x and run make again.")'
	@echo "installing uv"
	@$(PYTHON) -m venv --clear .venv-uv
	@.venv-uv/bin/pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

.venv/.ready: requirements/dev.txt pyproject.toml .venv-uv/.ready
	@echo "installing the locked packages"
	@test -x .venv/bin/python || $(UV) venv --python $(PYTHON) .venv
	@$(UV) pip sync --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv-tools/.ready: requirements/tools.txt .venv-uv/.ready
	@echo "installing the AWS tools"
	@test -x .venv-tools/bin/python || $(UV) venv --python $(PYTHON) .venv-tools
	@$(UV) pip sync --python .venv-tools/bin/python --require-hashes requirements/tools.txt
	@touch $@

.venv-sdk-previous/.ready: requirements/sdk-previous.txt .venv-uv/.ready
	@echo "installing the SDKs' previous majors"
	@test -x .venv-sdk-previous/bin/python || $(UV) venv --python $(PYTHON) .venv-sdk-previous
	@$(UV) pip sync --python .venv-sdk-previous/bin/python --require-hashes requirements/sdk-previous.txt
	@touch $@

.PHONY: setup
setup: .venv/.ready  ## Install what is needed, into this checkout

COMPILE := pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --constraint requirements/constraints.in
.PHONY: lock
lock: .venv-uv/.ready  ## Resolve the dependencies again, into requirements/*.txt
	$(UV) $(COMPILE) pyproject.toml -o requirements/lambda.txt
	$(UV) $(COMPILE) pyproject.toml --extra local -c requirements/lambda.txt -o requirements/local.txt
	$(UV) $(COMPILE) pyproject.toml --extra local --extra dev -c requirements/local.txt -o requirements/dev.txt
	for name in tools sdk-previous uv; do $(UV) $(COMPILE) requirements/$$name.in -o requirements/$$name.txt; done

# -- running -------------------------------------------------------------------------------------------------------------

.PHONY: up
up: .venv/.ready  ## Start everything locally and print the URLs; Ctrl-C stops it
	@exec $(BIN)/navplane up

.PHONY: demo
demo: .venv/.ready  ## Run the demo application against a NavPlane of its own
	@exec $(BIN)/navplane demo

.PHONY: reset
reset:  ## Wipe the local data (.navplane/)
	@if test -x $(BIN)/navplane; then exec $(BIN)/navplane reset; else rm -rf .navplane; fi

# -- checking ------------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: .venv/.ready .venv-tools/.ready  ## Formatting, types, import rules, templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	.venv-tools/bin/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .venv-tools/bin/sam validate --lint --template template.yaml

.PHONY: test
test: .venv/.ready .venv-tools/.ready .venv-sdk-previous/.ready  ## Run every test
	$(BIN)/pytest --numprocesses=2 --dist=loadfile $(PYTEST_ARGS)

# What `make faults LONG=1` has in place of the floors: hours, for a machine with nothing else to do.
LONG_RUN = FUZZED_INPUTS=10000000 FUZZED_STREAMS=100000 STEADY_REQUESTS=100000 REVOCATION_TRIALS=2000 ROTATION_EXITS=1000 \
	HTTP_REQUESTS=100000 LEDGER_REQUESTS=1000000

.PHONY: faults
faults: .venv/.ready  ## Run the fault harnesses at their floors (LONG=1: far beyond); each prints one JSON line
	FUZZED_INPUTS=1000000 \
	STORM_REQUESTS=500 STORM_LIMIT=200 STORM_PROCESSES=8 \
	FUZZED_STREAMS=1000 PROMPTS=200 SIDE_DOOR_STEP=1 DISCONNECTS=300 STEADY_REQUESTS=20000 \
	REVOCATION_TRIALS=100 REVOCATION_ENVIRONMENTS=8 \
	RATE_WINDOWS=30 RATE_LIMIT=60 RATE_PROCESSES=8 \
	DESCRIBED_SECONDS=120 DESCRIBED_EXAMPLES=20 \
	AUDIT_STEP=1 ROTATION_EXITS=150 \
	HTTP_REQUESTS=5000 HTTP_KILLS=20 \
	REPRICE_ROWS=5000 REPRICE_KILLS=40 \
	ALERT_KILLS=40 DELIVERY_KILLS=40 KID_STORM=10000 POOL_OPERATIONS=20000 \
	LEDGER_REQUESTS=100000 LEDGER_KILLS=40 LEDGER_RESTARTS=4 \
	$(if $(LONG),$(LONG_RUN)) \
	$(BIN)/pytest tests/faults tests/integration/admin/test_described.py --capture=no --quiet $(PYTEST_ARGS)

.PHONY: format
format: .venv/.ready  ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: .venv/.ready  ## Measure against a direct call and LiteLLM, and usage over ten million rows (QUICK=1: one)
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.analytics

# -- building ------------------------------------------------------------------------------------------------------------

ARCH ?= arm64
.PHONY: build
build: .venv-tools/.ready  ## Build the functions and layers for AWS (ARCH=arm64 or x86_64), without Docker
	infra/build/build $(ARCH)

.PHONY: invoke
invoke: .venv/.ready .venv-tools/.ready  ## Run a built function under the real emulator: FN=proxy EVENT=tests/events/….json
	@$(BIN)/python -m navplane_local.invoke "$(FN)" "$(EVENT)"
