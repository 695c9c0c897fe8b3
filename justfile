# Each recipe runs steps of .ci/run, the gate, so that there is one list of commands.

# Lists the recipes.
default:
    @just --list

# Formats the code.
fmt:
    cargo fmt

# Every test and doc test, with all features and with none.
test:
    .ci/run tests

# Formatting, scripts, and clippy with each feature.
lint:
    .ci/run lint

# The documentation, with warnings denied.
doc:
    .ci/run doc

# Licences, duplicates and sources of dependencies; minimum versions and Rust.
deps:
    .ci/run deny msrv

# What a request costs in instructions, against the committed figures.
instructions:
    .ci/run instructions

# Everything, as CI does.
gate:
    .ci/run
