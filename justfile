# Shorthands. Everything here is one command you can also type.

[private]
default:
    @just --list

# The kernel server; open the link that it prints.
serve *options:
    cargo run -p kernel-server -- {{options}}

# Installs what the tests need, and runs all checks and all tests, real peers included.
test:
    tests/run

# The tests that need no peers.
unit:
    tests/run unit

# Explores the orders in which concurrent operations on sessions can run.
races:
    tests/run races

# Formatting, clippy, documentation, licences and combinations of features.
lint:
    tests/run lint

fmt:
    cargo fmt --all

# Side by side with bare axum and with peers; writes its figures to docs/benchmarks.md.
bench:
    cargo run --release -p portcullis-bench

# Thousands of guarded sockets in one process; writes its figures to docs/load.md.
load *options:
    cargo run --release -p portcullis-bench -- load {{options}}

# The API documentation, opened in a browser.
docs:
    cargo doc --workspace --no-deps --all-features --open

# The end-to-end tests again and again, until one fails.
soak rounds="20":
    for round in $(seq {{rounds}}); do tests/run e2e || exit 1; done
