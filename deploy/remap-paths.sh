# shellcheck shell=bash
# Sourced by the build scripts: the paths of this machine must not get into the programs, so that two machines build the same.

# remap_paths: prints flags of rustc, one per line, that replace the directories of this repository, of downloaded crates and of
# std's source.
remap_paths() {
  local commit sysroot
  commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
  sysroot=$(rustc --print sysroot)
  printf '%s\n' "--remap-path-prefix=$PWD=/probelet" \
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/crates" \
    "--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
}
