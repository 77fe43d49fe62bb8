/** Kill -9 of either of two processes at random moments: the other ends by itself, and both resume to the same bits. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runInner } from '../inner';
import { inProcesses, PROCESSES, startProcesses } from '../processes';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import { enoughGpus, outcomeOf } from './hosts';
import { programsIn } from './recipe';
import { EPOCHS_VARIABLE } from './recipe-run';

/** How many, unless the environment says otherwise. */
const KILLS = Number(process.env.BENCH_KILLS ?? 10);
/** Seconds after its first epoch within which a process is killed. */
const MOMENTS = 3;
/** Seconds that a start, and the end of the other process, may take. */
const LIMIT = 120;
/** So many that no run gets there. */
const FOR_EVER = 1_000_000;

/** The small Show-o2 of `hosts.agreement`, over all GPUs. */
export async function hostsKills(): Promise<void> {
  if (!enoughGpus('hosts.kills')) return;
  await inTemporaryFolder(async (folder) => {
    await runInner('recipeFiles', { folder, limit: LIMIT, tiny: true, quiet: true });
    const random = numbers(21);
    const seconds: number[] = [];
    let clear = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const { message, ended } = await killOne(folder, random);
      if (message) clear++;
      seconds.push(ended);
    }
    const reached = epochsSaved(folder);
    const env = { ...programsIn(folder), [EPOCHS_VARIABLE]: `${reached + 2}` };
    const options = { folder, limit: LIMIT, tiny: true, quiet: true, env };
    for (const variant of ['killed', 'straight']) await inProcesses(`recipeRun:${variant}`, options);
    const [killed, straight] = await Promise.all(
      ['killed', 'straight'].map((name) => outcomeOf(folder, name)),
    );
    report('hosts.kills', {
      kills: KILLS,
      clearMessages: clear,
      longestSeconds: Math.max(...seconds),
      epochs: reached + 2,
      equal: killed!.weights === straight!.weights && `${killed!.losses}` === `${straight!.losses}`,
    });
  });
}

/** Starts both processes, kills one, and waits for the other: whether it said who was lost, and how long it took to end. */
async function killOne(folder: string, random: () => number): Promise<{ message: boolean; ended: number }> {
  const before = epochsSaved(folder);
  const children: ChildProcess[] = [];
  const lines: string[][] = Array.from({ length: PROCESSES }, () => []);
  const env = { ...programsIn(folder), [EPOCHS_VARIABLE]: `${FOR_EVER}` };
  const runs = await startProcesses('recipeRun:killed', (id) => ({
    ...{ folder, limit: 2 * LIMIT, tiny: true, quiet: true, env },
    onStart: (child) => void children.splice(id, 1, child),
    onErrorLine: (line) => void lines[id]!.push(line),
  }));
  const ends = Promise.allSettled(runs);
  let over = false;
  void ends.then(() => {
    over = true;
  });
  const until = performance.now() + 1000 * LIMIT;
  while (!over && epochsSaved(folder) <= before && performance.now() < until) await pause(50);
  await pause(1000 * MOMENTS * random());
  const victim = random() < 0.5 ? 0 : 1;
  const started = performance.now();
  children[victim]!.kill('SIGKILL');
  await ends;
  const said = new RegExp(`^Process ${1 - victim} ends: process ${victim}.* is gone`);
  const message = lines[1 - victim]!.some((line) => said.test(line));
  return { message, ended: (performance.now() - started) / 1000 };
}

/** Epochs of the newest checkpoint; 0 without any. */
function epochsSaved(folder: string): number {
  const checkpoints = join(folder, 'run-killed', 'checkpoints');
  if (!existsSync(checkpoints)) return 0;
  const names = readdirSync(checkpoints).filter(
    (name) => name.startsWith('epoch-') && existsSync(join(checkpoints, name, 'state.json')),
  );
  const epochs = names.map((name) => Number(name.slice('epoch-'.length)));
  return Math.max(0, ...epochs);
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The same numbers in [0, 1) at every run: a linear congruence. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}
