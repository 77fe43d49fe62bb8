#!/usr/bin/env bash
# Runs the suites of packages with other versions of tfjs than the repository's: what their peer ranges promise.
#
#   bash scripts/tfjs-versions.sh [VERSION...]      by default those of the peer ranges (4.18 has no WebAssembly backend)
#
# PACKAGES (sde-sampler tfjs-jit nn by default) names others, TFJS_VERSIONS_WORK where the copy of the repository is made. The
# commit is tested, with this checkout's node_modules; gradients are those of 4.22.0, which the builds carry.
# Needs Linux, git, npm and a registry. Prints one line per version and package, and fails when one of them fails.
set -uo pipefail

root=$(realpath "$(dirname "$0")/..")
work=${TFJS_VERSIONS_WORK:-$(mktemp -d)}
packages=${PACKAGES:-sde-sampler tfjs-jit nn}
[ $# -gt 0 ] || set -- 4.17.0 4.19.0 4.20.0 4.21.0 4.22.0

git clone --quiet "$root" "$work/repository" || exit 1
cd "$work/repository" || exit 1
cp -al "$root/node_modules" node_modules # links: npm replaces files, it does not write into them
for folder in packages/* examples/* docs; do
  if [ -d "$root/$folder/node_modules" ]; then cp -al "$root/$folder/node_modules" "$folder/node_modules"; fi
done

failed=0
for version in "$@"; do
  tfjs=()
  for name in core layers backend-cpu backend-wasm; do tfjs+=("@tensorflow/tfjs-$name@$version"); done
  npm install --no-save --package-lock=false --legacy-peer-deps --ignore-scripts --no-audit --no-fund "${tfjs[@]}" \
    > "$work/install-$version.log" 2>&1 || { cat "$work/install-$version.log"; exit 1; }
  found=$(node -p "require('@tensorflow/tfjs-core/package.json').version")
  [ "$found" = "$version" ] || { echo "tfjs-core $found is there instead of $version" >&2; exit 1; }
  for package in $packages; do
    log=$work/$package-$version.log
    if (cd "packages/$package" && npx vitest run ${SUITES:-}) > "$log" 2>&1; then result=passes; else result="fails: $log" failed=1; fi
    echo "tfjs $version: $package $result"
  done
done
exit $failed
