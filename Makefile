# Targets for development. CI runs the same commands: each check is a step of .ci/run, and `make ci` runs all of them.
.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: ## Check formatting and lints, as in CI
	bash .ci/run formatting lints

.PHONY: test
test: ## Run the unit tests (no cluster)
	cargo test --workspace --lib --bins

.PHONY: verify
verify: ## Run all tests; the first run installs a control plane (minutes)
	bash .ci/run tests

.PHONY: oldest
oldest: ## Run the behaviour tests on the oldest supported Kubernetes
	bash .ci/run oldest

.PHONY: plans
plans: ## Run all crash plans and interleavings; `make verify` runs a sample of those with two stops
	bash .ci/run plans

.PHONY: demo
demo: ## Run the demo: the life cycle of one credential on this machine
	bash .ci/run demo

.PHONY: bench
bench: ## Measure the operator with many objects and write the table into docs/performance.md (minutes)
	cargo bench-operator --output docs/performance.md

.PHONY: recording
recording: ## Run the demo and render its output as docs/demo.svg
	cargo demo > target/demo.txt
	cargo xtask recording target/demo.txt > docs/.new && mv docs/.new docs/demo.svg

.PHONY: generate
generate: ## Regenerate the CRD, its reference and the files rendered from the chart
	cargo build --workspace --bins
	cargo run --quiet --bin rotated-secrets -- crd > crds/.new && mv crds/.new crds/rotatedsecrets.yaml
	cargo xtask chart
	cargo xtask reference > docs/.new && mv docs/.new docs/reference.md

.PHONY: generated
generated: ## Check that the generated files are up to date
	bash .ci/run generated

.PHONY: site
site: ## Build the pages as a site with search, target/site/index.html, and check it
	bash .ci/run site

.PHONY: image
image: ## Build the image as an archive, target/image.tar, without a container engine
	cargo xtask image --binary "$$(image/build)" --out target/image.tar

.PHONY: chart
chart: ## Lint the Helm chart
	bash .ci/run chart

.PHONY: audit
audit: ## Check dependencies for known vulnerabilities
	bash .ci/run advisories

.PHONY: deny
deny: ## Check licenses, sources and bans of dependencies
	bash .ci/run dependencies

.PHONY: ci
ci: ## Run all checks
	bash .ci/run
