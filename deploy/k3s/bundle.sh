#!/usr/bin/env bash
# Builds target/k3s/probelet-k3s-VERSION.tar.gz, which installs the webhook without a registry. On the k3s server:
#   tar -xzf probelet-k3s-0.1.0.tar.gz --no-same-owner -C /var/lib/rancher/k3s
# and on each agent node, which needs only the images:
#   tar -xzf probelet-k3s-0.1.0.tar.gz --no-same-owner -C /var/lib/rancher/k3s agent
# Needs Python and the archives of deploy/image.sh and deploy/image.sh --inject. The same archives make the same file.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
images=${PROBELET_IMAGES:-target/image}
out=target/k3s/probelet-k3s-$version.tar.gz
root=target/k3s/root
rm -rf target/k3s
mkdir -p "$root"/agent/images "$root"/server/{manifests,static/charts}

name() { sed -nE "s#^ +(repository|image): ([^ ]*/$1)(:.*)?\$#\2#p" deploy/k3s/probelet.yaml; }
deploy/k3s/merge-images "$root/agent/images/probelet-$version.tar" \
  "$(name probelet):$version=$images/probelet.tar" "$(name probelet-inject):$version=$images/probelet-inject.tar"
deploy/webhook/package-chart "$root/server/static/charts"
cp deploy/k3s/probelet.yaml "$root/server/manifests/probelet.yaml"

# The same files in any order, by any user and at any time make the same archive.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C "$root" -cf - agent server | gzip -9n >"$out"
rm -rf "$root"
echo "$out: $(stat -c %s "$out") bytes"
