#!/usr/bin/env bash
# The injector as its image ships it: static, for both architectures, on stable Rust.
#   deploy/inject-build.sh [TARGET...]     default: aarch64- and x86_64-unknown-linux-musl
# leaves target/inject/TARGET/release/probelet-inject. It needs cargo, rustup's musl targets and a C
# compiler, of which clang serves both targets:
#   rustup target add aarch64-unknown-linux-musl x86_64-unknown-linux-musl
#   apt-get install clang
# CC_aarch64_unknown_linux_musl and CC_x86_64_unknown_linux_musl name another one.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/c-compiler.sh

# What .cargo/config.toml says of these targets makes the agent small, and lays it out by the agent's own
# functions. This one serves the network and has memory to spare, so it is linked as Rust does by itself: with
# relocations that are read-only (RELRO), on x86_64 at an address of chance. RUSTFLAGS replaces the flags there.
unset CARGO_ENCODED_RUSTFLAGS
export RUSTFLAGS=-Ctarget-feature=+crt-static

[[ $# -gt 0 ]] || set -- aarch64-unknown-linux-musl x86_64-unknown-linux-musl
for target in "$@"; do
  c_compiler "$target"
  cargo build --release --no-default-features --features inject --bin probelet-inject --locked \
    --target "$target" --target-dir target/inject
done
