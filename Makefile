# What people and CI run. `make` alone lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# One version for everybody, so that a lint does not change by itself.
CARGO_DENY_VERSION := 0.20.2
# What users may still run.
OLDEST_KUBERNETES := 1.33

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: tools
tools:
	@hack/lab-tools --build

.PHONY: build
build: tools ## Build everything, in the dev profile
	cargo build --workspace

.PHONY: demo
demo: tools ## Start a control plane and show a Service at work; Ctrl-C ends it
	@hack/lab demo $(ARGS)

.PHONY: lab
lab: tools ## Start a control plane to play with; Ctrl-C ends it
	@hack/lab up $(ARGS)

.PHONY: image
image: IMAGE ?= fairlead:dev
image: ## Build a container image with the release build, IMAGE=fairlead:dev; needs docker
	@hack/image $(IMAGE)

.PHONY: test
test: tools ## Run all tests, and say how long each part took
	@hack/test

.PHONY: test-oldest
test-oldest: tools ## Run the end-to-end tests on the oldest supported Kubernetes
	@FAIRLEAD_KUBERNETES_VERSION=$(OLDEST_KUBERNETES) hack/test end-to-end

.PHONY: weather
weather: MINUTES ?= 10
weather: tools ## Run the release build in the worst weather, MINUTES=10, and say what it cost
	cargo build --release --workspace --bin fairlead
	FAIRLEAD_BINARY=$$(hack/target-directory)/release/fairlead MINUTES=$(MINUTES) \
	  cargo test --workspace --test convergence_real worst_weather -- --ignored --nocapture

.PHONY: fuzz
fuzz: MINUTES ?= 10
fuzz: ## Give strange bytes to whatever reads frames, MINUTES=10 in all; needs a nightly Rust and cargo-fuzz
	@hack/fuzz run $(MINUTES)

SEEDS ?= 200
MODE ?= both

.PHONY: differential
differential: tools ## Compare with kube-controller-manager, operation by operation: SEEDS=200, SEED=n REPEAT=n, MODE=settle|burst|both
	FAIRLEAD_SEEDS=$(SEEDS) FAIRLEAD_MODE=$(MODE) \
	  $(if $(SEED),FAIRLEAD_SEED=$(SEED)) $(if $(REPEAT),FAIRLEAD_REPEAT=$(REPEAT)) \
	  cargo test --workspace --test differential fairlead_and -- --nocapture

.PHONY: soak
soak: MINUTES ?= 60
soak: SERVICES ?= 100000
soak: tools ## Create and delete SERVICES=100000 in MINUTES=60 and look at memory
	cargo build --release --workspace --bin fairlead
	FAIRLEAD_BINARY=$$(hack/target-directory)/release/fairlead MINUTES=$(MINUTES) SERVICES=$(SERVICES) \
	  cargo test --workspace --test soak -- --ignored --nocapture

ROUNDS ?= 20

.PHONY: drill-leader
drill-leader: tools ## End the leader of two managers, ROUNDS=20 times in each way, and say how long the next one took
	FAIRLEAD_ROUNDS=$(ROUNDS) FAIRLEAD_LEASE=15s cargo test --workspace --test leader two_managers -- --nocapture

.PHONY: drill-rivals
drill-rivals: tools ## Run beside kube-controller-manager for MINUTES=10 under churn, and take over from it
	MINUTES=$(MINUTES) cargo test --workspace --test standing_aside drill -- --ignored --nocapture

.PHONY: drill-loadbalancer
drill-loadbalancer: tools ## Kill the manager ROUNDS=200 times between allocation and status, storms for minutes, and MetalLB beside it
	FAIRLEAD_METALLB=$$(hack/metallb-binary) FAIRLEAD_DRILLS=long $(if $(filter command line,$(origin ROUNDS)),FAIRLEAD_ROUNDS=$(ROUNDS)) \
	  cargo test --workspace --test load_balancer -- --include-ignored --nocapture

.PHONY: drill-speaker
drill-speaker: tools ## Ten minutes without the API server, ROUNDS=50 strangers that come and go, 200 speakers' API traffic
	FAIRLEAD_OUTAGE=600 FAIRLEAD_ROUNDS=$(if $(filter command line,$(origin ROUNDS)),$(ROUNDS),50) \
	  cargo test --workspace --test speaker -- --include-ignored --nocapture

.PHONY: drills
drills: tools ## Run every fault drill in full length, and tell durations and what was written afterwards; DRILL=name runs one
	@hack/drills $(DRILL)

.PHONY: bench
bench: bench-memory bench-planning bench-compare bench-loadbalancer bench-failover bench-speaker ## Run all benchmarks

.PHONY: bench-compare
bench-compare: tools ## Fairlead against kube-controller-manager: CPU, memory, latency (about 25 minutes)
	@hack/bench compare $(ARGS)

.PHONY: bench-loadbalancer
bench-loadbalancer: tools ## Addresses for Services, against MetalLB's controller: waits, API writes, CPU, memory
	@hack/bench loadbalancer $(ARGS)

.PHONY: bench-failover
bench-failover: tools ## What a client misses when an address moves: power-off, cable, SIGTERM, ...; ROUNDS=20 of each
	@hack/bench failover --rounds $(ROUNDS) $(ARGS)

.PHONY: bench-speaker
bench-speaker: tools ## What 1, 1,000 and 5,000 addresses cost a speaker, and how fast it answers, beside the kernel
	@hack/bench speaker $(ARGS)

.PHONY: bench-memory
bench-memory: tools ## Memory of a cluster with 150,000 Pods
	@hack/bench memory $(ARGS)

.PHONY: bench-planning
bench-planning: tools ## The cost of one change at different sizes
	@hack/bench planning $(ARGS)

.PHONY: crds
crds: ## Write config/crd anew from the Rust types
	UPDATE=1 cargo test --package fairlead-crds --test config

.PHONY: lint
lint: tools cargo-deny ## Check format, clippy, docs, licences and sources
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet
	cargo deny check bans licenses sources

.PHONY: cargo-deny
cargo-deny:
	@cargo deny --version 2>/dev/null | grep -q 'cargo-deny $(CARGO_DENY_VERSION)$$' || { \
	  echo 'cargo-deny $(CARGO_DENY_VERSION) is missing; installing it with cargo (some minutes, once)'; \
	  cargo install cargo-deny --locked --force --version $(CARGO_DENY_VERSION); \
	}
