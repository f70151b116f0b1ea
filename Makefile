# Everything that a person does here, one short verb each. `make help` is made from the comments.

BIN := .venv/bin
# One more than there are cores, up to four: a test waits about as long as it works.
WORKERS = $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 3 ? n + 1 : 4)))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv and install the locked dependencies; instant when nothing changed
	@PYTHON="$(PYTHON)" ./.ci/setup

demo: setup ## Run the whole thing: queue, mask, Postgres, account (embedded services)
	@$(BIN)/pipeline demo $(ARGS)

dev: setup ## Open the web UI with the sensor running (embedded services)
	@$(BIN)/pipeline dev $(ARGS)

stop: ## Stop the embedded services; their data stays
	@test ! -x $(BIN)/pipeline || $(BIN)/pipeline stop

test: setup ## Run the tests (ARGS="-k ledger" chooses some)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# Apart from `make test`, which needs nothing that is not in .venv.
gateway: setup ## Test deploy/gateway against the nginx of this machine
	$(BIN)/python -m pytest deploy/gateway/tests $(ARGS)

# Apart from `make test`, as above.
celery: setup ## Test warm workers against the redis-server of this machine
	$(BIN)/python -m pytest deploy/celery/tests $(ARGS)

# The next seven as well: each needs what it tests, and minutes rather than seconds.
image: setup ## Test deploy/Dockerfile and the bills of materials, with hadolint
	$(BIN)/python -m pytest deploy/image/tests $(ARGS)

# As root, on Linux, with nginx, envsubst, curl, iproute2 and redis-server.
compose: setup ## Run every service of deploy/compose.yaml as a process, seed, ingest, unmask
	$(BIN)/python -m pytest deploy/compose/tests $(ARGS)

secrets: setup ## Make the secret files of deploy/compose.yaml
	@$(BIN)/python -m deploy.compose.make_secrets $(ARGS)

aws: setup ## Lint deploy/aws, and deploy it into moto
	$(BIN)/python -m pytest deploy/aws/tests $(ARGS)

instance: setup ## Test deploy/dagster.yaml as its processes, an upgrade, a restore
	$(BIN)/python -m pytest deploy/instance/tests $(ARGS)

web: setup ## Test deploy/web-gateway with nginx, Dagster's web server and Chromium
	$(BIN)/python -m pytest deploy/web-gateway/tests $(ARGS)

postgres: setup ## Test deploy/postgres against the Postgres of this machine
	$(BIN)/python -m pytest deploy/postgres/tests $(ARGS)

monitoring: setup ## Test deploy/prometheus with the promtool and Prometheus of this machine
	$(BIN)/python -m pytest deploy/prometheus/tests $(ARGS)

sbom: setup ## Write a bill of materials (CycloneDX) for each image into build/sbom
	@$(BIN)/python -m deploy.image.sbom $(ARGS)

check: setup ## Run ruff, the format check, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tools are installed apart, under .cache. `dependencies` wants the index's own service of advisories.
audit: setup ## Look for known holes, doubtful code and secrets (ARGS="code secrets": a part)
	$(BIN)/python -m audit $(ARGS)

# LocalStack is installed apart, under .cache; AWS wants PIPELINE_CONFORMANCE_AWS=1.
conformance: setup ## Compare with SQS (ARGS=localstack or aws), or write the table (ARGS=table)
	$(BIN)/python -m conformance $(ARGS)

simulate: setup ## Drive the core through schedules of faults (ARGS="--steps 1000000 --seed 7")
	$(BIN)/python -m simulation $(ARGS)

bench: setup ## Run the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

# First the tests that end whole processes, which `make test` leaves out; ARGS ask for a part of the
# matrix alone.
crashes: setup ## Kill real processes at every step (ARGS="--point after_commit": a part only)
	$(if $(ARGS),,$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal crashes/tests)
	$(BIN)/python -m crashes $(ARGS)

# Some minutes. A build that survives fails it.
broken: setup ## Break the code on purpose; a test must see each (ARGS="no-ledger" tries one)
	@$(BIN)/python -m broken_builds $(ARGS)

chaos: setup ## Break everything for minutes, drain, report (ARGS="--minutes 60 --seed 7")
	@$(BIN)/python -m chaos $(ARGS)

# As root, on Linux, with iproute2. Some five minutes; it takes down all that it has made.
machines: setup ## Run workers in network namespaces, lose and cut some (ARGS="--messages 60000")
	@$(BIN)/python -m machines $(ARGS)

# An existing constraints.txt keeps its versions as far as setup.py allows.
lock: ## Resolve constraints.txt again, with uv (ARGS=--upgrade takes newer releases)
	@command -v uv >/dev/null || { echo "lock: uv is not installed: pipx install uv" >&2; exit 1; }
	uv pip compile setup.py --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-config --custom-compile-command "make lock" \
		--quiet --output-file constraints.txt $(ARGS)
	@$(or $(PYTHON),python3) -m deploy.image.locks

# A half-made .venv cannot stop anything, and is to be removed all the same.
clean: ## Remove .venv and the tools' caches; the embedded services' data stays
	-@$(MAKE) --no-print-directory stop
	rm -rf .venv .cache build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup demo dev stop test gateway celery check conformance simulate bench chaos lock clean crashes broken machines image aws instance web postgres monitoring sbom audit compose secrets
