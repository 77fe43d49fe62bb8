import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CheckpointError, memorySource, openSource } from './index';

/** Number of mutated files; `CHECKPOINT_FUZZ` asks for more. */
const RUNS = Number(process.env.CHECKPOINT_FUZZ || 10_000);
/** No single mutated file may take more of the processor than this; whatever else runs on the machine does not count. */
const MAX_SECONDS = 10;
/** Fixed-size tables and headers, which a file of a few bytes cannot pay for. */
const FIXED_BYTES = 4096;

/** The undamaged single files of every case: safetensors, zip and legacy pickles. */
function originalsOf(dir: string): Buffer[] {
  const { files } = readJson<{ files: Record<string, unknown> }>(dir, 'case.json');
  const bad = new Set(readJson<{ files: { file: string }[] }>(dir, 'bad.json').files.map(({ file }) => file));
  const names = Object.keys(files).filter((file) => /\.(safetensors|pth|bin)$/.test(file) && !bad.has(file));
  return names.map((name) => readFileSync(join(dir, name)));
}

/** A small generator (mulberry32): a failing run is repeated by its number. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];

/** One to four random edits: bits, extreme bytes and words, cuts, insertions, copies from elsewhere. */
function mutate(original: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let edits = 1 + random(4); edits > 0 && bytes.length > 0; edits--) {
    const at = random(bytes.length);
    const length = 1 + random(Math.min(16, bytes.length - at));
    switch (random(7)) {
      case 0:
        bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes.fill(EXTREMES[random(EXTREMES.length)]!, at, at + length);
        break;
      case 3:
        bytes = bytes.subarray(0, at);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(length, random(256)), bytes.subarray(at)]);
        break;
      default: {
        const from = random(bytes.length - length + 1);
        bytes.copy(bytes, at, from, from + length);
      }
    }
  }
  return bytes;
}

async function readAll(bytes: Uint8Array): Promise<void> {
  const checkpoint = await openSource(memorySource('mutated', bytes));
  for (const name of checkpoint.names) await checkpoint.readValues(name);
  await checkpoint.close();
}

/** Counts the largest array that is asked for by length from here on. */
function watchAllocations(): { largest: number } {
  const seen = { largest: 0 };
  for (const name of ['Uint8Array', 'Uint16Array', 'Uint32Array', 'Int32Array', 'Float32Array'] as const) {
    const original = globalThis[name];
    const watched: object = new Proxy(original, {
      construct(target, args, newTarget): object {
        if (typeof args[0] === 'number') {
          seen.largest = Math.max(seen.largest, args[0] * original.BYTES_PER_ELEMENT);
        }
        return Reflect.construct(target, args, newTarget === watched ? target : newTarget) as object;
      },
    });
    vi.stubGlobal(name, watched);
  }
  return seen;
}

afterEach(() => vi.unstubAllGlobals());

describe('mutated checkpoints', () => {
  const originals = fixtureCases('checkpoints').flatMap(({ dir }) => originalsOf(dir));

  it(`reads or refuses ${RUNS} of them, within time and memory`, async () => {
    for (const original of originals) await readAll(original); // fills the look-up tables
    const allocations = watchAllocations();
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const random = randomFrom(run);
      const bytes = mutate(originals[run % originals.length]!, random);
      allocations.largest = 0;
      const start = process.cpuUsage();
      const error = await readAll(bytes).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) {
        refused++;
        if (!(error instanceof CheckpointError)) throw new Error(`run ${run}`, { cause: error });
      }
      const { user, system } = process.cpuUsage(start);
      if ((user + system) / 1e6 > MAX_SECONDS) throw new Error(`run ${run} took too long`);
      if (allocations.largest > 10 * bytes.length + FIXED_BYTES) {
        throw new Error(`run ${run} asked for ${allocations.largest} bytes with a file of ${bytes.length}`);
      }
    }
    // Edits inside tensor data are no damage that a reader can see, others are.
    expect(refused).toBeGreaterThan(RUNS / 4);
    expect(refused).toBeLessThan(RUNS);
  });
});
