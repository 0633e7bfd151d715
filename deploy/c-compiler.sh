# shellcheck shell=bash
# Read by the build scripts: a C compiler for ring, the cryptography under rustls.

# c_compiler TARGET: the compiler that CC_TARGET names, or clang, or the target's own gcc. ring's C needs a
# compiler but no libc: clang is told so, or it would take this machine's headers.
c_compiler() {
  local target=$1 name=${1//-/_} own=${1%%-*}-linux-musl-gcc
  local cc=CC_$name
  if [[ -n ${!cc-} ]]; then
    return
  elif command -v clang >/dev/null; then
    export "$cc=clang" "AR_$name=ar" "CFLAGS_$name=-ffreestanding -nostdlibinc -DRING_CORE_NOSTDLIBINC=1"
  elif command -v "$own" >/dev/null; then
    export "$cc=$own"
  else
    echo "${0##*/}: no C compiler for $target: install clang or $own, or name one in $cc" >&2
    return 1
  fi
}
