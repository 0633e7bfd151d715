# shellcheck shell=bash
# Sourced by the build scripts: selects a C compiler for ring, the cryptography of rustls.

# c_compiler TARGET: uses the compiler of CC_TARGET, or clang, or the target's gcc. ring's C code needs no libc; these
# flags keep clang from using this machine's headers.
c_compiler() {
  local target=$1 name=${1//-/_} own=${1%%-*}-linux-musl-gcc
  [[ $target != armv7-* ]] || own=arm-linux-musleabihf-gcc
  local cc=CC_$name
  if [[ -n ${!cc-} ]]; then
    return
  elif command -v clang >/dev/null; then
    export "$cc=clang" "AR_$name=ar" "CFLAGS_$name=-ffreestanding -nostdlibinc -DRING_CORE_NOSTDLIBINC=1"
  elif command -v "$own" >/dev/null; then
    export "$cc=$own"
  else
    echo "${0##*/}: no C compiler for $target: install clang or $own, or set $cc" >&2
    return 1
  fi
}
