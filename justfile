# What can be done here
default:
    @just --list

# Install what scanlab needs, or with `tests` what its tests need, too (needs root)
setup *ARGS:
    .ci/setup {{ ARGS }}

# Everything that must pass before a merge; CI runs the same
ci:
    .ci/run

# What CI tries with fixed seeds, with others, for so many minutes (as root)
soak MINUTES="10":
    .ci/soak {{ MINUTES }}

# Format, lint, and the tests that need no privilege and no program but cargo: up to three minutes on two cores
quick:
    cargo fmt --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo test --locked --quiet --lib --bins --test user

# The tests (as root: those of the kernel too)
test *ARGS:
    cargo test --locked {{ ARGS }}

# Format and lint
lint:
    cargo fmt --check
    cargo clippy --locked --workspace --all-targets -- -D warnings

# The documentation; the architecture is on the front page
doc *ARGS:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items {{ ARGS }}

# The pages of docs/ as a site, in target/book (takes `cargo install mdbook`)
book:
    mdbook build

# Hostile input for one of fuzz/targets, made by what it reaches in the code (takes `cargo install cargo-fuzz`)
fuzz TARGET SECONDS="60":
    mkdir -p fuzz/corpus/{{ TARGET }}
    CARGO_PROFILE_RELEASE_LTO=off cargo fuzz run --features link --sanitizer none {{ TARGET }} \
        fuzz/corpus/{{ TARGET }} scenarios tests/explanations tests/paths src/log_line -- \
        -max_total_time={{ SECONDS }} -max_len=4096 -timeout=20 -rss_limit_mb=1024

# How fast probes are (as root)
bench *ARGS:
    cargo bench --locked {{ ARGS }}

# Run the built-in scenarios (as root)
demo *ARGS:
    cargo run --locked --release -- demo {{ ARGS }}

# One file that needs no library, for x86_64, aarch64 or armv7
static TARGET:
    packaging/static {{ TARGET }}

# A Debian package of such a file, for amd64, arm64 or armhf
deb ARCHITECTURE BINARY *FOLDER:
    packaging/deb {{ ARCHITECTURE }} {{ BINARY }} {{ FOLDER }}
