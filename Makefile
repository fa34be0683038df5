# Everyday work. A recipe and CI run the same commands: each check is a step of .ci/run, and `make ci` is all of them.
.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: ## Formatting and lints, as CI has them
	bash .ci/run formatting lints

.PHONY: test
test: ## The quick tests: beside the code, no cluster
	cargo test --workspace --lib --bins

.PHONY: verify
verify: ## All tests; the first run makes a control plane (minutes)
	bash .ci/run tests

.PHONY: demo
demo: ## The whole life of one credential, on this machine
	bash .ci/run demo

.PHONY: generate
generate: ## Write the generated files anew: the definition, its reference, what is made from the chart
	cargo build --workspace --bins
	cargo run --quiet --bin rotated-secrets -- crd > crds/.new && mv crds/.new crds/rotatedsecrets.yaml
	cargo xtask chart
	cargo xtask reference > docs/.new && mv docs/.new docs/reference.md

.PHONY: generated
generated: ## Are the generated files those of the code?
	bash .ci/run generated

.PHONY: image
image: ## The image as an archive, target/image.tar, without a container engine
	cargo xtask image --binary "$$(image/build)" --out target/image.tar

.PHONY: chart
chart: ## The Helm chart
	bash .ci/run chart

.PHONY: audit
audit: ## Known vulnerabilities of dependencies
	bash .ci/run advisories

.PHONY: deny
deny: ## Licences, sources and bans of dependencies
	bash .ci/run dependencies

.PHONY: ci
ci: ## Everything
	bash .ci/run
