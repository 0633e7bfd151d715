#!/usr/bin/env bash
# The small build: what the image ships and what the figures are of.
#   deploy/small-build.sh [TARGET...]     default: aarch64- and x86_64-unknown-linux-musl
# leaves target/small/TARGET/release/probelet. It needs cargo and rustup's rust-src and musl targets:
#   rustup component add rust-src
#   rustup target add aarch64-unknown-linux-musl x86_64-unknown-linux-musl
set -euo pipefail
cd "$(dirname "$0")/.."

# std is compiled along, for size, and a panic aborts on the spot: no formatting of messages nobody
# would read, no unwind tables. All of it is unstable options, which the stable compiler takes only from
# those who say that they know; the code itself uses no unstable feature.
export RUSTC_BOOTSTRAP=1
# Instances of generic functions are each crate's own, and folded by the linker alone: what the agent
# uses all the time is not to be found among the cold ones (.cargo/layout.ld).
flags='["-Zunstable-options", "-Cpanic=immediate-abort", "-Zshare-generics=no", "-Zmerge-functions=disabled"]'

# A RUSTFLAGS of the caller's would replace what .cargo/config.toml says of the targets.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

[[ $# -gt 0 ]] || set -- aarch64-unknown-linux-musl x86_64-unknown-linux-musl
for target in "$@"; do
  cargo build --release --no-default-features --bin probelet --locked \
    --target "$target" --target-dir target/small \
    -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size \
    --config "target.$target.rustflags=$flags"
done
