# Shorthands. Everything here is one command you can also type.

# All checks and all tests, real peers included.
run:
    tests/run

# The tests that need no peers.
test:
    tests/run unit

lint:
    tests/run lint

fmt:
    cargo fmt --all

# Side by side with bare axum and with peers; writes its figures to docs/.
bench:
    cargo run --release -p portcullis-bench

# The API documentation, opened in a browser.
docs:
    cargo doc --workspace --no-deps --all-features --open

# The end-to-end tests again and again, until one fails.
soak rounds="20":
    for round in $(seq {{rounds}}); do tests/run e2e || exit 1; done
