# What people and CI type. Each target says what it does in `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help demo demo-stop dist check test test-long fuzz bench-apps bench-balancer bench-deploy bench-faults needs needs-test

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: needs ## Build Tandem, start it with its data in ./.demo and deploy the guestbook
	@scripts/demo.sh start

demo-stop: ## End everything that `make demo` started; the data stays in ./.demo
	@scripts/demo.sh stop

dist: ## Build the Tandem that is given to others (20 minutes)
	@scripts/build-dist.sh

check: needs-test ## Format, lints, tidy test, tests of rules and components (minutes)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo nextest run --workspace --locked --profile check

test: check ## Everything: `check`, the guestbook's own tests, system tests with the real binary
	scripts/test-guestbook.sh
	cargo nextest run --workspace --locked --profile system

test-long: test ## Everything, and what takes hours: whole kill matrix, hundreds of deploys
	cargo nextest run --workspace --locked --profile long
	scripts/fuzz.sh short

fuzz: needs-test ## Fuzz everything that reads bytes from elsewhere, ten minutes for each target
	scripts/fuzz.sh long

bench-apps: needs-test ## Deploy public apps and measure that; writes docs/benchmarks/apps.md
	scripts/bench-apps.sh

bench-balancer: needs-test ## Measure the balancer beside nginx and HAProxy; writes docs/benchmarks/balancer.md
	scripts/bench-balancer.sh

bench-deploy: needs-test ## Measure deploys and rollbacks; writes docs/benchmarks/deploy.md
	scripts/bench-deploy.sh

bench-faults: needs-test ## Measure what faults cost; writes docs/benchmarks/faults.md
	scripts/bench-faults.sh

needs: ## Install what building and running needs
	@scripts/install-needs.sh run

needs-test: ## Install what building, running and testing needs
	@scripts/install-needs.sh test
