#!/usr/bin/env bash
# Builds one image index of the targets in deploy/targets that have been built, as an OCI archive, without a daemon.
#   deploy/image.sh [NAME:TAG]            localhost/probelet:VERSION, from deploy/small-build.sh
#   deploy/image.sh --plain [NAME:TAG]    localhost/probelet:VERSION-plain, from deploy/small-build.sh --plain: without TLS
#   deploy/image.sh --inject [NAME:TAG]   localhost/probelet-inject:VERSION, from deploy/inject-build.sh
# NAME:TAG replaces the default name. Writes target/image/probelet.tar, probelet-plain.tar or probelet-inject.tar.
# Needs Debian's buildah. On a k3s node (MicroK8s: `microk8s ctr image import`):
#   sudo k3s ctr images import probelet.tar
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
[[ $name == *:* ]] || { echo "image: $name is not NAME:TAG; images have the targets that are built" >&2; exit 1; }
out=target/image
archive=$out/$archive.tar
rm -rf "$out/root" "$out/run" "$out/layout" "$archive"
mkdir -p "$out"

# Separate storage and the vfs driver: no daemon, no kernel module, and the machine's own images stay unchanged.
build() {
  buildah --root "$PWD/$out/root" --runroot "$PWD/$out/run" --storage-driver vfs "$@"
}

built=0
while read -r target platform; do
  context=$from/$target/release
  [[ -x $context/$binary ]] || {
    echo "image: without $platform: no $context/$binary; deploy/$script $target builds it" >&2
    continue
  }
  # --timestamp: the same binaries make the same image. --manifest: one index for all architectures.
  build build --isolation chroot --quiet --platform "$platform" --timestamp 0 \
    --build-arg BIN="$binary" --file "$recipe" --ignorefile /dev/null \
    --label org.opencontainers.image.title="$binary" \
    --label org.opencontainers.image.version="$version" \
    --manifest "$name" "$context" </dev/null >/dev/null
  built=$((built + 1))
done < <(grep '^[^#]' deploy/targets)
((built)) || { echo "image: nothing to put into $archive" >&2; exit 1; }
build manifest push --quiet --all "$name" "oci:$out/layout:$name"
build rmi --all --force >/dev/null
# An archive without the times of its files: the same binaries make the same bytes.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C "$out/layout" -cf "$archive" \
  blobs index.json oci-layout
rm -rf "${out:?}/root" "${out:?}/run" "${out:?}/layout"
echo "$archive: $name, $(stat -c %s "$archive") bytes"
