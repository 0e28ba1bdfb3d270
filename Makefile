# Claviger. `make` alone lists the targets.

SHELL := /bin/bash
CARGO ?= cargo
PYTEST := .tools/venv/bin/pytest -q -p no:cacheprovider

.DEFAULT_GOAL := help
.PHONY: help run test test-rust test-model test-tools bench-store bench-rewrap lint fmt build tools postgres preflight breaking clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: preflight ## Build and start both services on this machine, ready for the grpcurl lines that it prints
	@scripts/run.sh

test: preflight tools test-rust test-tools ## Set up what the tests need, and run them all
	@echo "all tests passed"

test-rust: ## The Rust tests, end to end with both services as processes
	@scripts/postgres.sh start
	@trap 'scripts/postgres.sh stop' EXIT; scripts/preflight.sh tests && echo '$(CARGO) test --workspace --locked' && $(CARGO) test --workspace --locked

test-model: ## The vault against a plain model of it, 100,000 random sequences on each database (CASES=n for another number)
	@scripts/postgres.sh start
	@trap 'scripts/postgres.sh stop' EXIT; CLAVIGER_MODEL_CASES=$(or $(CASES),100000) $(CARGO) test --locked --release -p claviger-tests --test model

test-tools: ## The chart, the scripts, `make run` itself and callers with the providers' SDKs, with real Helm and real grpcurl
	$(CARGO) build --locked -p claviger-keyvault -p claviger-routing
	$(PYTEST) tests/helm tests/scripts tests/sdk

lint: preflight tools ## Formatting, clippy, protos, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	scripts/buf.sh lint
	scripts/buf.sh breaking
	scripts/deny.sh

bench-store: ## Creates a second on SQLite and PostgreSQL, as a ratio to the bare transaction
	@scripts/postgres.sh start
	@trap 'scripts/postgres.sh stop' EXIT; $(CARGO) run --release --locked -p claviger-benches --bin bench-store

bench-rewrap: ## Measure a rotation of 100,000 keys under load, on SQLite and on PostgreSQL
	@scripts/postgres.sh start
	$(CARGO) test --release --locked -p claviger-tests --test e2e -- --ignored --nocapture --test-threads=1 rotation::bench

fmt: ## Format the code
	$(CARGO) fmt --all

build: preflight ## Optimised binaries in target/release
	$(CARGO) build --release --locked -p claviger-keyvault -p claviger-routing

tools: ## Install the tools that tests and lint use, into .tools
	@scripts/tools.sh all

postgres: ## Start the PostgreSQL of the tests, and print its URL
	@scripts/postgres.sh url

breaking: ## What of the protos breaks callers since the last release
	scripts/buf.sh breaking

preflight: ## Say what this machine lacks
	@scripts/preflight.sh

clean: ## Remove what was built; data and tools stay
	$(CARGO) clean
