#!/usr/bin/env bash
# Builds the native part of @tensorflow/tfjs-node from packages of registries, for machines that cannot download it: its own
# install script fetches libtensorflow from elsewhere. The suites of the backend `tensorflow` run once it is there.
#
#   bash scripts/tfjs-node.sh [FOLDER]      FOLDER has package.json and node_modules; the repository by default
#
# What it takes, and from where:
#   @tensorflow/tfjs-node 4.22.0   npm    JavaScript, and the sources of the N-API addon
#   node-api-headers 1.9.0         npm    node_api.h
#   tensorflow-cpu 2.9.1 (cp310)   PyPI   the TensorFlow that tfjs-node 4.22 asks for: its C API and headers, out of the wheel
#
# A wheel has no libtensorflow.so, but python/_pywrap_tensorflow_internal.so exports the whole C API. It also leaves symbols of
# CPython open; the addon runs no Python, so a small library of stand-ins, made from the list of these symbols, satisfies the
# loader. Nothing is linked with Python.
#
# Needs Linux x86-64, bash, gcc and g++, node, npm, pip, unzip, nm; 0.7 GB of disk. TFJS_NODE_WORK is where downloads are kept.
set -euo pipefail

TFJS=4.22.0 TF=2.9.1 HEADERS=1.9.0
root=$(realpath "${1:-$(dirname "$0")/..}")
work=${TFJS_NODE_WORK:-${TMPDIR:-/tmp}/tfjs-node-build}
module=$root/node_modules/@tensorflow/tfjs-node
mkdir -p "$work"

# 1. JavaScript. Scripts stay off: the package's own one downloads libtensorflow from a host that may not be there. The lock file
# is read and not written: without it npm would take newer versions of everything else.
if [ ! -e "$module/package.json" ]; then
  (cd "$root" && npm install --no-save --ignore-scripts --no-audit --no-fund "@tensorflow/tfjs-node@$TFJS")
fi

# 2. TensorFlow's libraries and C headers out of the wheel.
wheel=$(find "$work" -maxdepth 1 -name "tensorflow_cpu-$TF-cp310-*.whl" | head -1)
if [ -z "$wheel" ]; then
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 310 --implementation cp --abi cp310 \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 -d "$work" "tensorflow-cpu==$TF"
  wheel=$(find "$work" -maxdepth 1 -name "tensorflow_cpu-$TF-cp310-*.whl" | head -1)
fi
unzip -q -o "$wheel" 'tensorflow/libtensorflow_framework.so.2' 'tensorflow/python/_pywrap_tensorflow_internal.so' \
  'tensorflow/include/tensorflow/c/*' 'tensorflow/include/tensorflow/core/platform/*' -d "$work"
lib=$module/deps/lib
mkdir -p "$lib"
cp -f "$work/tensorflow/libtensorflow_framework.so.2" "$work/tensorflow/python/_pywrap_tensorflow_internal.so" "$lib/"
internal=$lib/_pywrap_tensorflow_internal.so

# 3. Headers of N-API.
if [ ! -d "$work/node-api-headers" ]; then
  (cd "$work" && npm pack --silent "node-api-headers@$HEADERS" > /dev/null && mkdir node-api-headers &&
    tar xzf "node-api-headers-$HEADERS.tgz" -C node-api-headers --strip-components=1)
fi

# 4. Stand-ins for CPython: objects are zeros, functions end the process if one is ever called.
stub=$work/python-stand-in.c
{
  printf '#include <stdio.h>\n#include <stdlib.h>\n'
  nm -D --undefined-only "$internal" | awk '{print $2}' | grep -E '^_?Py' | sort -u | while read -r name; do
    case $name in
      PyExc_* | *_Type | _Py_*Struct) printf 'char %s[512] __attribute__((aligned(16)));\n' "$name" ;;
      *) printf 'void %s(void) { fputs("%s was called: no Python here\\n", stderr); abort(); }\n' "$name" "$name" ;;
    esac
  done
} > "$stub"
gcc -shared -fPIC -w -fno-builtin -o "$lib/libpython-stand-in.so" "$stub"

# 5. The addon. Its search path is that of the published one: deps/lib two folders up.
binding=$module/binding
exported=$(nm -D --defined-only "$internal" "$lib/libtensorflow_framework.so.2" | awk '$2 == "T" {sub(/@.*/, "", $3); print $3}' | sort -u)
used=$(grep -hoE '\bTFE?_[A-Za-z0-9]+\(' "$binding"/*.cc "$binding"/*.h | tr -d '(' | grep -v _Auto | sort -u)
missing=$(comm -13 <(echo "$exported") <(echo "$used"))
[ -z "$missing" ] || { echo "TensorFlow $TF does not export: $missing" >&2; exit 1; }
echo "$(echo "$used" | wc -l) C API functions are used, all are exported"
out=$module/lib/napi-v8
mkdir -p "$out"
g++ -shared -fPIC -O2 -std=c++14 -w -DNAPI_VERSION=8 -D_GLIBCXX_USE_CXX11_ABI=1 \
  -I "$work/node-api-headers/include" -I "$work/tensorflow/include" -I "$module" \
  "$binding/tfjs_backend.cc" "$binding/tfjs_binding.cc" -o "$out/tfjs_binding.node" \
  -L "$lib" -Wl,--no-as-needed -lpython-stand-in -l:libtensorflow_framework.so.2 -l:_pywrap_tensorflow_internal.so \
  -Wl,--allow-shlib-undefined -Wl,-rpath,'$ORIGIN/../../deps/lib' -Wl,--disable-new-dtags

# 6. Proof.
cd "$root"
node -e "
const tf = require('@tensorflow/tfjs-node');
(async () => {
  if (!(await tf.setBackend('tensorflow'))) throw new Error('the backend does not start');
  const x = tf.randomUniform([256, 256], 0, 1, 'float32', 1), y = tf.matMul(x, x, false, true);
  const a = x.arraySync(), want = a[3].reduce((sum, v, i) => sum + v * a[5][i], 0), got = y.arraySync()[3][5];
  if (!(Math.abs(got - want) < 1e-3)) throw new Error(\`matMul: \${got}, expected \${want}\`);
  const [g] = tf.grads((w) => tf.sum(tf.square(tf.conv2d(w, tf.ones([3, 3, 2, 4]), 1, 'same'))))([tf.ones([1, 8, 8, 2])]);
  console.log('backend', tf.getBackend(), 'TensorFlow', tf.backend().binding.TF_Version, 'gradient', g.shape, g.sum().arraySync());
})().catch((error) => { console.error(error); process.exit(1); });
"
