#!/usr/bin/env bash
# The small build: what the image ships and what the figures are of.
#   deploy/small-build.sh [--plain] [TARGET...]     default: aarch64- and x86_64-unknown-linux-musl
# leaves target/small/TARGET/release/probelet; with --plain, which leaves encryption out, it is
# target/small-plain/TARGET/release/probelet. It needs cargo, rustup's rust-src and musl targets and,
# but for --plain, a C compiler, of which clang serves both targets:
#   rustup component add rust-src
#   rustup target add aarch64-unknown-linux-musl x86_64-unknown-linux-musl
#   apt-get install clang
# CC_aarch64_unknown_linux_musl and CC_x86_64_unknown_linux_musl name another one.
set -euo pipefail
cd "$(dirname "$0")/.."

# std is compiled along, for size, and a panic aborts on the spot: no formatting of messages nobody
# would read, no unwind tables. Instances of generic functions are each crate's own, and folded by the
# linker alone: what the agent always uses is not to lie among what it seldom does (.cargo/layout.ld).
# All of these are unstable options, which the stable compiler takes only from those who say that they
# know; the code itself uses no unstable feature.
export RUSTC_BOOTSTRAP=1
flags='"-Zunstable-options", "-Cpanic=immediate-abort", "-Zshare-generics=no", "-Zmerge-functions=disabled"'

# A RUSTFLAGS of the caller's would replace what .cargo/config.toml says of the targets.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

. deploy/c-compiler.sh

# One folder for both variants, so that std is compiled once for each target.
build=target/small-build out=target/small features=()
if [[ ${1-} == --plain ]]; then
  out=target/small-plain features=(--no-default-features)
  shift
fi
[[ $# -gt 0 ]] || set -- aarch64-unknown-linux-musl x86_64-unknown-linux-musl
for target in "$@"; do
  ((${#features[@]})) || c_compiler "$target" || {
    echo "--plain needs none" >&2
    exit 1
  }
  map=$build/$target/probelet.map
  cargo build --release ${features[@]+"${features[@]}"} --bin probelet --locked \
    --target "$target" --target-dir "$build" \
    -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size \
    --config "target.$target.rustflags=[$flags, '-Clink-arg=--Map=$map']"
  install -D "$build/$target/release/probelet" "$out/$target/release/probelet"
  install "$map" "$out/$target/release/probelet.map"
done
