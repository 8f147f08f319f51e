# One command a purpose; each installs what it needs. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run sam-local test test-sam-local rehearse torture check format openapi vendors bench bench-peers plots build lock clean
SHELL := /bin/sh

PORT ?= 3000
BIN := .venv/bin
SAM := .venv-sam/bin/sam
WORKERS ?= 2
# The processor that `sam deploy --guided` was told, so that an upgrade's bundle is for the same one.
ARCH ?= $(or $(shell sed -nE 's/.*Architecture=[\\"'\'']*(x86_64|arm64).*/\1/p' samconfig.toml | tail -n 1),x86_64)
export SAM_CLI_TELEMETRY := 0
export AWS_DEFAULT_REGION ?= us-east-1

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed ## start the gateway on this machine: make run [PORT=3000]
	@exec $(BIN)/python -m local.run --port $(PORT)

sam-local: .venv/installed .venv-sam/installed ## serve the built bundle from Docker: make sam-local [PORT=] [ARCH=]
	@$(BIN)/python -m local.sam --check
	@$(MAKE) --no-print-directory build
	@exec $(BIN)/python -m local.sam --port $(PORT) --architecture $(ARCH)

test: .venv/installed .venv-sam/installed tests/e2e/node/node_modules/installed ## run all tests
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

test-sam-local: .venv/installed .venv-sam/installed tests/e2e/node/node_modules/installed ## the official clients against sam local
	@$(BIN)/python -m local.sam --check
	@$(MAKE) --no-print-directory build
	TOLLGATE_GATEWAY=local.sam $(BIN)/pytest -q tests/e2e/test_python_client.py \
		tests/e2e/test_node_client.py tests/e2e/test_images.py tests/e2e/test_billing.py \
		tests/e2e/test_events.py

rehearse: .venv/installed .venv-sam/installed ## deploy to moto on this machine, and look at it
	TOLLGATE_REQUIRE_ALL=1 $(BIN)/pytest -v tests/integration/deployment

torture: .venv/installed ## break ledger, vendors and requests at random
	$(BIN)/python -m tests.torture
	$(BIN)/python -m tests.chaos
	TORTURE_REQUESTS=$${TORTURE_REQUESTS:-10000} $(BIN)/pytest -q tests/property/test_ledger.py
	FUZZ_CASES=$${FUZZ_CASES:-20000} $(BIN)/pytest -q -s tests/property/test_mutated_answers.py
	FUZZ_CASES=$${FUZZ_CASES:-20000} $(BIN)/pytest -q --hypothesis-profile=torture \
		tests/property/test_affixes.py tests/property/test_sse.py tests/property/test_json_text.py \
		tests/property/test_multipart.py tests/property/test_search_message.py
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/pytest -q -rP tests/e2e/test_fuzzed_requests.py

check: .venv/installed .venv-sam/installed .venv-checkov/installed ## format, lint, types, import arrows, template
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SAM) validate --lint
	.venv-sam/bin/cfn-lint template.yaml
	@mkdir -p .aws-sam
	.venv-sam/bin/python local/translate.py template.yaml > .aws-sam/translated.json
	.venv-checkov/bin/checkov --config-file .checkov.yaml -f .aws-sam/translated.json

format: .venv/installed ## put the code into the house format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

openapi: .venv/installed ## write docs/openapi.json from the functions' apps
	$(BIN)/python -m local.openapi > docs/openapi.json

vendors: .venv/installed tests/e2e/node/node_modules/installed ## write docs/vendors.md from the recordings in ../shared
	TOLLGATE_REQUIRE_ALL=1 TOLLGATE_WRITE_VENDORS=1 $(BIN)/pytest -q tests/e2e/test_vendors.py

bench: .venv/installed ## print the figures: make bench [BENCH_ROUNDS=1] [JSON=file]
	$(BIN)/python -m bench $(if $(JSON),--json $(JSON))

bench-peers: .venv/installed .venv-plots/installed ## the same beside other gateways: make bench-peers [WRITE=1]
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench --peers $(if $(JSON),--json $(JSON)) $(if $(WRITE),--write)
	$(if $(WRITE),@$(MAKE) --no-print-directory plots)

plots: .venv/installed .venv-plots/installed ## write what the documents have of docs/performance.json
	$(BIN)/python -m bench.documents
	.venv-plots/bin/python bench/plots.py

build: .venv-sam/installed ## build the bundle into .aws-sam/: make build [ARCH=arm64]
	python=$$(.ci/find-python) && PYTHON="$$python" PATH="$$(dirname "$$python"):$$PATH" \
		$(SAM) build --parameter-overrides Architecture=$(ARCH)

lock: .venv/installed ## pin all packages anew from the .in files
	$(BIN)/pip install -q uv==0.13.9
	for name in layers/common/requirements requirements-dev requirements-sam requirements-checkov \
		requirements-plots; do \
		hashes=; case $$name in layers/*) hashes=--generate-hashes;; esac; \
		$(BIN)/uv pip compile -q --no-header --no-emit-index-url --no-annotate $$hashes \
			--python-version 3.13 $$name.in -o $$name.txt || exit 1; \
	done

clean: ## remove what the commands made; .local/ with its balances stays
	rm -rf .venv .venv-sam .venv-checkov .venv-plots .peers .aws-sam .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis tests/e2e/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: requirements-dev.txt pyproject.toml
	@echo "Installing Python packages into .venv (once, about a minute)"
	@python=$$(.ci/find-python) && "$$python" -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv-sam/installed: requirements-sam.txt
	@echo "Installing the SAM CLI into .venv-sam (once, about a minute)"
	@python=$$(.ci/find-python) && "$$python" -m venv .venv-sam
	@.venv-sam/bin/pip install -q --disable-pip-version-check -r requirements-sam.txt
	@touch $@

.venv-checkov/installed: requirements-checkov.txt
	@echo "Installing checkov into .venv-checkov (once, half a minute)"
	@python=$$(.ci/find-python) && "$$python" -m venv .venv-checkov
	@.venv-checkov/bin/pip install -q --disable-pip-version-check -r requirements-checkov.txt
	@touch $@

.venv-plots/installed: requirements-plots.txt
	@echo "Installing matplotlib into .venv-plots (once, half a minute)"
	@python=$$(.ci/find-python) && "$$python" -m venv .venv-plots
	@.venv-plots/bin/pip install -q --disable-pip-version-check -r requirements-plots.txt
	@touch $@

tests/e2e/node/node_modules/installed: tests/e2e/node/package-lock.json
	@echo "Installing the clients for Node (once)"
	@command -v npm >/dev/null || { echo "The tests need Node.js 20 or newer, with npm: https://nodejs.org" >&2; exit 1; }
	@cd tests/e2e/node && npm ci --silent --no-audit --no-fund
	@touch $@
