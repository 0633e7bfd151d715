#!/usr/bin/env bash
# The small build: builds the binary of the image, which docs/benchmarks.md measures.
#   deploy/small-build.sh [--plain] [TARGET...]     default: the targets of deploy/targets
# makes target/small/TARGET/release/probelet; with --plain, which leaves TLS and `check` out, it is
# target/small-plain/TARGET/release/probelet. The link map is probelet.map next to it. It needs cargo, rustup's rust-src
# and musl targets and, except for --plain, a C compiler; clang serves all targets:
#   rustup component add rust-src
#   rustup target add aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-unknown-linux-musl
#   apt-get install clang
# CC_aarch64_unknown_linux_musl and so on name another compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

# std is compiled as well, for size, and a panic aborts at once, without a message and without unwind tables. Each crate
# has its own instances of generic functions, and only the linker folds them: otherwise code that every pod runs would
# be in the cold section (.cargo/layout.ld). These options are unstable, so the stable compiler needs this variable; the
# code itself uses no unstable feature. No text has `{:?}` in it, so the code for it is left out: 34 KiB.
export RUSTC_BOOTSTRAP=1
flags='"-Zunstable-options", "-Cpanic=immediate-abort", "-Zshare-generics=no", "-Zmerge-functions=disabled", "-Zfmt-debug=none"'

# RUSTFLAGS of the environment would replace those of .cargo/config.toml.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

. deploy/c-compiler.sh
. deploy/remap-paths.sh
while read -r flag; do flags+=", \"$flag\""; done < <(remap_paths)

# One build directory for both variants, so that std is compiled once for each target.
build=target/small-build out=target/small features=(--no-default-features --features "tls,check") needs_c=yes
if [[ ${1-} == --plain ]]; then
  out=target/small-plain features=(--no-default-features) needs_c=''
  shift
fi
[[ $# -gt 0 ]] || {
  mapfile -t defaults < <(awk '/^[^#]/ { print $1 }' deploy/targets)
  set -- "${defaults[@]}"
}
for target in "$@"; do
  [[ -z $needs_c ]] || c_compiler "$target" || {
    echo "--plain needs no C compiler" >&2
    exit 1
  }
  mkdir -p "$out/$target/release"
  own=$flags
  # On 32-bit ARM: the encoding of 16 and 32 bits, with which the binary is a quarter smaller (rustc warns that its flag
  # is not stable), and times of 64 bits, as clocks are read after 2038 too.
  [[ $target != armv7-* ]] || own+=', "-Ctarget-feature=+thumb-mode", "--cfg=libc_unstable_musl_v1_2_3"'
  # Flags of the program alone: its link map, and a value that changes with layout.ld, which cargo does not watch.
  cargo rustc --release "${features[@]}" --bin probelet --locked \
    --target "$target" --target-dir "$build" \
    -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size \
    --config "target.$target.rustflags=[$own]" \
    -- "-Clink-arg=--Map=$out/$target/release/probelet.map" "-Cmetadata=$(cksum <.cargo/layout.ld | tr -d ' ')"
  install "$build/$target/release/probelet" "$out/$target/release/probelet"
done
