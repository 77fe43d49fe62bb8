import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pickle, unpickle } from './index';

/**
 * Requests as flow_grpo's clients make them (images as bytes, each line of metadata parsed on its own), with
 * sizes on both sides of the format's own limits: of frames, batches, short lengths and integers.
 */
const PROGRAM = `
import json, os, pickle, random, sys
random.seed(5)
WORDS = ["cow", "bench", "\\u00e9", "", "a", "x" * 300, "\\u65e5\\u672c", "\\U0001f9fa", "count", "it's"]
NUMBERS = [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**40, 10**18, 0.1, 1e300]

def value(depth):
    kind = random.random()
    if kind < 0.3: return random.choice(WORDS) + random.choice(["", " q", "z" * random.randint(0, 400)])
    if kind < 0.6: return random.choice(NUMBERS)
    if kind < 0.7 or depth > 3: return random.choice([True, False, None])
    if kind < 0.85: return [value(depth + 1) for _ in range(random.randint(0, 5))]
    return {random.choice(WORDS) + str(i % 3): value(depth + 1) for i in range(random.randint(0, 6))}

for number in range(120):
    count = random.choice([1, 2, 3, 10, 65, 200, 1001])
    large = 70000 if count < 11 else 600
    request = {"images": [os.urandom(random.choice([2, 255, 256, large])) for _ in range(count)]}
    if number % 3 > 0:
        lines = [{"tag": "colors", "include": value(0), "prompt": random.choice(WORDS) + str(i)} for i in range(count)]
        request["meta_datas"] = [json.loads(json.dumps(line)) for line in lines]
        request["only_strict"] = number % 3 == 1
    with open(os.path.join(sys.argv[1], f"{number}.pkl"), "wb") as file:
        file.write(pickle.dumps(request))
`;

const folder = mkdtempSync(join(tmpdir(), 'python-pickles-'));
beforeAll(() => {
  execFileSync('python3', ['-c', PROGRAM, folder]);
});
afterAll(() => rmSync(folder, { recursive: true }));

it('reads what Python writes and writes it again, to the byte', () => {
  const files = readdirSync(folder);
  expect(files).toHaveLength(120);
  for (const file of files) {
    const bytes = readFileSync(join(folder, file));
    expect(Buffer.from(pickle(unpickle(bytes))).equals(bytes), file).toBe(true);
  }
});
