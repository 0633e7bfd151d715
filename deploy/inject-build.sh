#!/usr/bin/env bash
# The injector for its image: static, for every architecture, on stable Rust.
#   deploy/inject-build.sh [TARGET...]     default: the targets of deploy/targets
# makes target/inject/TARGET/release/probelet-inject. It needs cargo, rustup's musl targets and a C compiler; clang
# serves all targets:
#   rustup target add aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-unknown-linux-musl
#   apt-get install clang
# CC_aarch64_unknown_linux_musl and so on name another compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/c-compiler.sh
. deploy/remap-paths.sh

# The flags of .cargo/config.toml make the agent small. The injector serves the network and has memory to spare, so it is
# linked as Rust does by default: with read-only relocations (RELRO), on x86_64 at a random address. These flags
# replace those of .cargo/config.toml.
unset RUSTFLAGS
CARGO_ENCODED_RUSTFLAGS=-Ctarget-feature=+crt-static
while read -r flag; do CARGO_ENCODED_RUSTFLAGS+=$'\x1f'$flag; done < <(remap_paths)
export CARGO_ENCODED_RUSTFLAGS

[[ $# -gt 0 ]] || {
  mapfile -t defaults < <(awk '/^[^#]/ { print $1 }' deploy/targets)
  set -- "${defaults[@]}"
}
for target in "$@"; do
  c_compiler "$target"
  cargo build --release --no-default-features --features inject,check --bin probelet-inject --locked \
    --target "$target" --target-dir target/inject
done
