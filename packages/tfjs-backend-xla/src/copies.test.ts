import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleFolder, bundleSources } from '@flow-grpo/test-support/bundle';
import { afterAll, beforeAll, expect, it } from 'vitest';

const packages = fileURLToPath(new URL('../../', import.meta.url));
const folder = bundleFolder(join(packages, 'tfjs-backend-xla'));

/** Two copies of tfjs-jit, and the backend with a third one in it. */
beforeAll(async () => {
  const portable = join(packages, 'tfjs-jit/src/index.ts');
  await bundleSources(portable, join(folder, 'one.mjs'));
  await bundleSources(portable, join(folder, 'two.mjs'));
  await bundleSources(join(packages, 'tfjs-backend-xla/src/index.ts'), join(folder, 'xla.mjs'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const IMPORTS = {
  core: "import * as tf from '@tensorflow/tfjs-core';",
  xla: "import { configure, observeExecutions } from './xla.mjs';",
  one: "import * as one from './one.mjs';",
  two: "import * as two from './two.mjs';",
};

/** A function of one copy in a function of the other, its gradient, and tensors that one laid out and the other reads. */
const PROGRAM = `
  configure({ devices: 2 });
  await tf.setBackend('xla');
  const names = [];
  observeExecutions(({ name }) => names.push(name));
  const layer = two.jit((h, w) => tf.tanh(tf.matMul(h, two.cast(w, 'bfloat16'))), { name: 'layer' });
  const step = one.jit((x, ws) => one.scan((h, w) => [two.checkpoint(layer)(h, w), null], x, ws)[0], { name: 'step' });
  const m = one.mesh({ data: 2 });
  const x = two.shard(tf.ones([4, 3]), m, ['data']);
  const ws = one.random.normal(two.random.key(1), [2, 3, 3]);
  names.length = 0;
  const y = step(x, ws);
  const grad = tf.grad((w) => tf.sum(step(x, w)))(ws);
  console.log(JSON.stringify({
    names,
    compiled: [one.hasCompiler(), two.hasCompiler()],
    layout: two.shardingOf(y).spec,
    loops: step.lower(x, ws).text.match(/stablehlo.while/g).length,
    storage: one.storageOf(two.cast(y, 'bfloat16')),
    shape: grad.shape,
  }));
`;

const ORDERS: (keyof typeof IMPORTS)[][] = [
  ['core', 'xla', 'one', 'two'],
  ['one', 'two', 'core', 'xla'],
  ['xla', 'two', 'one', 'core'],
];

it.each(ORDERS)(
  'two copies of tfjs-jit, imported as %s, %s, %s, %s, compile on the one backend',
  async (...order) => {
    const file = join(folder, `${order.join('-')}.mjs`);
    writeFileSync(file, `${order.map((name) => IMPORTS[name]).join('\n')}\n${PROGRAM}`);
    const { stdout } = await promisify(execFile)(process.execPath, [file]);
    expect(JSON.parse(stdout)).toMatchObject({
      compiled: [true, true],
      layout: ['data', null],
      loops: 1,
      storage: 'bfloat16',
      shape: [2, 3, 3],
    });
    // Programs, not kernels one by one: both passes of the jitted function, and what the gradient adds around them.
    const { names } = JSON.parse(stdout) as { names: string[] };
    expect(names).toEqual(expect.arrayContaining(['step', 'step_backward']));
    expect(names).not.toContain('Tanh');
  },
);
