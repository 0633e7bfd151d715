#!/usr/bin/env bash
# Builds the image for aarch64 and x86_64 under one index, as an OCI archive, without a daemon.
#   deploy/image.sh [--plain] [NAME:TAG]      default: localhost/probelet:VERSION
# leaves target/image/probelet.tar; with --plain, which is without encryption, probelet-plain.tar of
# localhost/probelet:VERSION-plain. Needs Debian's buildah and the binaries of deploy/small-build.sh.
# On a k3s node (MicroK8s: `microk8s ctr image import`):
#   k3s ctr images import probelet.tar
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
kind=''
if [[ ${1-} == --plain ]]; then
  kind=-plain
  shift
fi
name=${1:-localhost/probelet:$version$kind}
out=target/image
archive=$out/probelet$kind.tar
rm -rf "$out/root" "$out/run" "$archive"
mkdir -p "$out"

# Own folders and the plain-copy driver: no daemon, no kernel module, nothing of the machine's touched.
build() {
  buildah --root "$PWD/$out/root" --runroot "$PWD/$out/run" --storage-driver vfs "$@"
}

for pair in arm64:aarch64 amd64:x86_64; do
  target=${pair#*:}-unknown-linux-musl
  context=target/small$kind/$target/release
  [[ -x $context/probelet ]] || {
    echo "image: no $context/probelet; run deploy/small-build.sh${kind:+ --plain}" >&2
    exit 1
  }
  # --timestamp: the same binaries give the same image. --manifest: one index for both.
  build build --isolation chroot --quiet --platform "linux/${pair%:*}" --timestamp 0 \
    --build-arg BIN=probelet --file Dockerfile.scratch --ignorefile /dev/null \
    --label org.opencontainers.image.title=probelet \
    --label org.opencontainers.image.version="$version" \
    --manifest "$name" "$context" >/dev/null
done
build manifest push --quiet --all "$name" "oci-archive:$archive:$name"
build rmi --all --force >/dev/null
rm -rf "${out:?}/root" "${out:?}/run"
echo "$archive: $name, $(stat -c %s "$archive") bytes"
