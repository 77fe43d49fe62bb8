import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ModelScorer } from '../models';
import { plainText } from '../plain-text';
import type { RewardName } from '../registry/rewards';
import type { RemoteOptions } from '../remote/post';
import { rewardServerClient } from './client';

export interface RewardProcessOptions
  extends Pick<RemoteOptions, 'batchSize' | 'retries' | 'pause' | 'timeout'> {
  /** Options of the reward: those of its scorer that are texts, numbers or truth values. */
  options?: Readonly<Record<string, string | number | boolean>>;
  /** `cpu`, `cuda`, or `cuda:N` with the GPU's number. Default: a GPU where there is one. */
  device?: 'cpu' | 'cuda' | `cuda:${number}`;
  /** The tensor backend there. Default `xla`. */
  backend?: string;
  /** The program and its first arguments. Default: this package's command. */
  command?: readonly [string, ...string[]];
  /** Aborts the start. */
  signal?: AbortSignal;
}

/**
 * A reward in a process of its own: on another device than the one that trains, with its own memory, and not
 * in the way of this process' event loop. Images go there as PNG over a local connection. `dispose` ends the
 * process; it also ends with this one.
 *
 * @param reward a reward of this package by name, or the path of a module with one
 * @throws with the process' own message when the reward cannot be made
 */
export async function rewardProcess(
  reward: RewardName | `${string}.${'mjs' | 'js' | 'cjs'}`,
  processOptions: RewardProcessOptions = {},
): Promise<ModelScorer> {
  const { options = {}, device, backend, command, signal, ...remote } = processOptions;
  const own = [process.execPath, fileURLToPath(new URL('./bin.js', import.meta.url))] as const;
  const [program, ...first] = command ?? own;
  const args = [...first, 'serve', '--reward', reward, '--port', '0', '--exit-with-parent'];
  for (const [key, value] of Object.entries(options)) args.push('--set', `${reward}.${key}=${value}`);
  if (device !== undefined) args.push('--device', device);
  if (backend !== undefined) args.push('--backend', backend);

  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(signal && { signal }) });
  const complaints: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints.push(text);
    complaints.splice(0, complaints.length - 50);
  });
  const gone = new AbortController();
  const ended = once(child, 'close').then((): never => {
    signal?.throwIfAborted();
    throw new Error(
      `the process of ${reward} ended: ${plainText(complaints.join('')).trim() || 'without a message'}`,
    );
  });
  ended.catch((reason: unknown) => gone.abort(reason));
  const address = once(createInterface(child.stdout), 'line') as Promise<[string]>;
  const [url] = await Promise.race([address, ended]);
  // It must not keep this process alive: it ends when its standard input does.
  for (const handle of [child, child.stdin, child.stdout, child.stderr])
    (handle as { unref(): void }).unref();
  const client = rewardServerClient({ name: reward, url, ...remote });
  return {
    name: reward,
    score: (images, prompts, metadata, score = {}) =>
      client.score(images, prompts, metadata, {
        signal: score.signal ? AbortSignal.any([score.signal, gone.signal]) : gone.signal,
      }),
    dispose: () => void child.kill(),
  };
}
