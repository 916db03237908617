# Short names for common commands.

[private]
default:
    @just --list

# Starts the kernel server, which prints a login link.
serve *options:
    cargo run -p kernel-server -- {{options}}

# Installs the dependencies of the tests, and runs all checks and all tests.
test:
    tests/run

# Runs the tests that need no real peers.
unit:
    tests/run unit

# Explores the orders in which concurrent operations on sessions can run.
races:
    tests/run races

# Checks formatting, clippy, documentation, licences and combinations of features.
lint:
    tests/run lint

# Checks the dependencies against the newest advisories, and updates the snapshot that the tests use.
advisories:
    cargo deny --all-features check advisories
    tests/advisories.py update

# Formats all code.
fmt:
    cargo fmt --all

# Writes the public API of each published crate to its public-api.txt.
public-api:
    UPDATE_PUBLIC_API=1 cargo test --package portcullis-e2e --lib public_api

# Compares with bare axum and other servers, and writes the results to docs/benchmarks.md.
bench:
    cargo run --release -p portcullis-bench

# Opens thousands of guarded sockets in one process, and writes the results to docs/load.md.
load *options:
    cargo run --release -p portcullis-bench -- load {{options}}

# Builds the API documentation and opens it in a browser.
docs:
    cargo doc --workspace --no-deps --all-features --open

# Repeats the end-to-end tests until one fails.
soak rounds="20":
    for round in $(seq {{rounds}}); do tests/run e2e || exit 1; done
