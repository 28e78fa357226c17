# Thin: what is built, and how, is `stagex`'s business.

.DEFAULT_GOAL := box
STAGEX := target/release/stagex

# make: the default box, from source, for x86_64.
box: stagex
	@$(STAGEX) box build airgap.iso

# make out/core-busybox: a package as an OCI image layout.
out/%: stagex
	@$(STAGEX) build $*

# The tool itself. Cargo knows whether there is anything to do.
stagex:
	@assembler/setup build
	@assembler/with-cargo build --release --locked --package stagex --quiet

# The ladder from the seed: each rung, built if need be.
bootstrap: stagex
	@$(STAGEX) bootstrap

# Rebuilds what changed since it was locked in digests/, and compares; `make clean reproduce` all
# packages, in a store that begins empty. Boxes are put together again in other circumstances.
reproduce: stagex
	@$(STAGEX) digests $(if $(filter clean,$(MAKECMDGOALS)),--afresh)
	@$(STAGEX) box verify

check: stagex
	@$(STAGEX) check

fetch: stagex
	@$(STAGEX) fetch

test: stagex
	@assembler/setup test
	@assembler/test

test-full: stagex
	@assembler/setup test-full
	@assembler/test --full

bench: stagex
	@assembler/setup test
	@assembler/bench

# What was built of the boxes and packages; the store and the sources stay in the cache folder.
clean:
	rm -rf out

help: stagex
	@$(STAGEX) --help

.PHONY: box stagex bootstrap reproduce check fetch test test-full bench clean help
