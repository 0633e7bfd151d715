#!/usr/bin/env bash
# Builds an image for aarch64 and x86_64 under one index, as an OCI archive, without a daemon.
#   deploy/image.sh            localhost/probelet:VERSION, of what deploy/small-build.sh left
#   deploy/image.sh --plain    localhost/probelet:VERSION-plain, of deploy/small-build.sh --plain: without encryption
#   deploy/image.sh --inject   localhost/probelet-inject:VERSION, of deploy/inject-build.sh
# or NAME:TAG, where that is said as well. Leaves target/image/probelet.tar, probelet-plain.tar or probelet-inject.tar.
# Needs Debian's buildah. On a k3s node (MicroK8s: `microk8s ctr image import`):
#   k3s ctr images import probelet.tar
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
binary=probelet tag=$version archive=probelet from=target/small script=small-build.sh recipe=Dockerfile.scratch
case ${1-} in
  --plain) tag=$version-plain archive=probelet-plain from=target/small-plain script='small-build.sh --plain' ;;
  --inject) binary=probelet-inject archive=probelet-inject from=target/inject script=inject-build.sh recipe=Dockerfile.inject ;;
  --*) echo "image: $1 is neither --plain nor --inject" >&2; exit 1 ;;
esac
[[ ${1-} != --* ]] || shift
name=${1:-localhost/$binary:$tag}
out=target/image
archive=$out/$archive.tar
rm -rf "$out/root" "$out/run" "$archive"
mkdir -p "$out"

# Own folders and the plain-copy driver: no daemon, no kernel module, nothing of the machine's touched.
build() {
  buildah --root "$PWD/$out/root" --runroot "$PWD/$out/run" --storage-driver vfs "$@"
}

for pair in arm64:aarch64 amd64:x86_64; do
  target=${pair#*:}-unknown-linux-musl
  context=$from/$target/release
  [[ -x $context/$binary ]] || {
    echo "image: no $context/$binary; run deploy/$script" >&2
    exit 1
  }
  # --timestamp: the same binaries give the same image. --manifest: one index for both.
  build build --isolation chroot --quiet --platform "linux/${pair%:*}" --timestamp 0 \
    --build-arg BIN="$binary" --file "$recipe" --ignorefile /dev/null \
    --label org.opencontainers.image.title="$binary" \
    --label org.opencontainers.image.version="$version" \
    --manifest "$name" "$context" >/dev/null
done
build manifest push --quiet --all "$name" "oci-archive:$archive:$name"
build rmi --all --force >/dev/null
rm -rf "${out:?}/root" "${out:?}/run"
echo "$archive: $name, $(stat -c %s "$archive") bytes"
