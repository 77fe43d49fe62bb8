import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';

it("the README's example runs, and says what it gives", async () => {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const readme = readFileSync(join(here, '../README.md'), 'utf8');
  const code = /```js\n([\s\S]*?)```/.exec(readme)![1]!;
  const folder = mkdtempSync(join(here, 'readme-'));
  try {
    const file = join(folder, 'example.mjs');
    writeFileSync(file, `${code.replace(/^.*\.print\(\).*$/gm, '')}\nexport { run, logProb };\n`);
    const { run, logProb } = (await import(file)) as {
      run: { final: tf.Tensor; logProbs: tf.Tensor[] };
      logProb: tf.Tensor;
    };
    expect(run.final.shape).toEqual([4, 2]);
    expect([...logProb.dataSync()]).toEqual([...run.logProbs[0]!.dataSync()]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
