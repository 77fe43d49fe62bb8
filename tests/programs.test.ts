/**
 * The programs that the quickstart and the recipe hand to XLA, as digests: code that only moves leaves them as they are.
 * After a change that means to alter programs: `UPDATE_PROGRAMS=1 npx vitest run programs` in this folder, and say in the
 * commit which ones changed and why.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleSources } from '@flow-grpo/test-support/bundle';
import { type ProgramRecord, programDigest, programDigests } from '@flow-grpo/test-support/programs';
import { afterAll, describe, expect, it } from 'vitest';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const RECORD = path('./programs.json');
const record: Record<string, ProgramRecord> = JSON.parse(readFileSync(RECORD, 'utf8'));

const temporary: string[] = [];
afterAll(() => {
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true });
});

/** Runs an example from its sources in a process of its own and returns the digests of what it traced. */
async function programsOf(example: string, args: readonly string[]): Promise<ProgramRecord> {
  // As deep as dist/main.js, from where examples find their files.
  const bundle = path(`../examples/${example}/.bundle/programs.mjs`);
  const folder = mkdtempSync(join(tmpdir(), 'programs-'));
  temporary.push(bundle, folder);
  await bundleSources(path(`../examples/${example}/src/main.ts`), bundle);
  const env = {
    ...process.env,
    FLOW_GRPO_XLA_PLATFORM: 'cpu',
    FLOW_GRPO_XLA_DUMP: join(folder, 'programs'),
    HF_HUB_OFFLINE: '1',
  };
  await promisify(execFile)(process.execPath, [bundle, ...args], { cwd: folder, env, maxBuffer: 1 << 26 });
  return programDigests(env.FLOW_GRPO_XLA_DUMP);
}

const EXAMPLES: Record<string, string[]> = {
  quickstart: ['--images', '128', '--eval-prompts', '24'],
  'pickscore-4gpu': ['--tiny', '--set', 'epochs=1'],
};

it.each(Object.entries(EXAMPLES))('%s gives XLA the programs on record', async (example, args) => {
  const found = await programsOf(example, args);
  const known = record[example] ?? {};
  const state = (digest: string) => (digest in known ? ' ' : '+');
  const rows = Object.entries(found).map(([digest, name]) => `${state(digest)} ${digest}  ${name}`);
  const gone = Object.entries(known).filter(([digest]) => !(digest in found));
  rows.push(...gone.map(([digest, name]) => `- ${digest}  ${name}`));
  console.log([`Programs of ${example}`, ...rows].join('\n'));
  if (process.env.UPDATE_PROGRAMS) {
    record[example] = found;
    writeFileSync(RECORD, `${JSON.stringify(record, null, 2)}\n`);
  } else {
    expect(Object.keys(found).sort()).toEqual(Object.keys(known).sort());
  }
});

describe('a digest', () => {
  const text = (name: string, x: string, size: number) => `module @${name} {
    sdy.mesh @${name}_mesh = <["data"=4]>
    func.func public @main(%arg0: tensor<${size}xf32> {sdy.sharding = #sdy.sharding<@${name}_mesh, [{"data"}]>}) {
      %${x}:2 = func.call @${name}_half(%arg0) : (tensor<${size}xf32>) -> (tensor<f32>, tensor<f32>)
      return %${x}#1
    }
  }`;
  it('is the same under other names', () => {
    expect(programDigest(text('step', '0', 4))).toBe(programDigest(text('update', 'sum', 4)));
  });
  it('is another one for another shape, operand, operation, custom call or axis', () => {
    const base = text('step', '0', 4);
    const others = [
      text('step', '0', 8),
      base.replace('return %0#1', 'return %arg0'),
      base.replace('%0#1', '%0#0'),
      base.replace('@step_half(', '@main('),
      base.replaceAll('"data"', '"model"'),
    ];
    const digests = [base, ...others].map(programDigest);
    expect(new Set(digests).size).toBe(digests.length);
  });
  it('has nothing of locations', () => {
    const located = text('step', '0', 4).replace('return %0#1', 'return %0#1 loc("step.ts":3:4)');
    expect(programDigest(located)).toBe(programDigest(text('step', '0', 4)));
  });
});
