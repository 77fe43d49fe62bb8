/** What Python makes of real files: `npm run artefacts` says where they lie and which Python has PyTorch. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const { FLOW_GRPO_ARTEFACTS, FLOW_GRPO_PYTHON } = process.env;
if (!FLOW_GRPO_ARTEFACTS || !FLOW_GRPO_PYTHON) throw new Error('run `npm run artefacts` in the repository');

/** The folder of unpacked packages. */
export const artefacts = FLOW_GRPO_ARTEFACTS;

const script = join(fileURLToPath(new URL('.', import.meta.url)), 'reference.py');

/** What `reference.py` prints. */
export async function reference<T>(...args: readonly string[]): Promise<T> {
  const { stdout } = await promisify(execFile)(FLOW_GRPO_PYTHON!, [script, ...args], { maxBuffer: 2 ** 30 });
  return JSON.parse(stdout) as T;
}
