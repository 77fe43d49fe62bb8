/** Looks for everything a setup takes from elsewhere, before anything is loaded or downloaded. */
import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative, sep } from 'node:path';
import { checkpointFiles, type SnapshotFile, snapshotFiles } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { bytes } from '../run/start-table';
import type { RewardChoice, SetupChoice, Showo2SetupOptions } from '../run-file/setup-schema';
import { type Need, rewardNeeds, showo2Needs } from './needs';
import { optionalPackage } from './optional-package';
import type { SetupContext } from './setup';

/** Something that a run's file names and that is there. */
export interface FoundSource {
  /** The option that names it, e.g. `setup.model`. */
  readonly option: string;
  readonly place: string;
  /** Where it is, in words. */
  readonly state: string;
  /** Bytes that a run would download. */
  readonly download: number;
}

/** A server that does not answer within this time is taken to be down. */
const SERVER_MILLISECONDS = 10_000;

/** How deep a checkpoint's folder is looked into: its own files, and those of vae/ and tokenizer/. */
const FOLDER_DEPTH = 2;

const HUB_ID = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;
/** The hub's oldest models, which rewards use, have ids without an owner: bert-base-uncased. */
const REWARD_ID = /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/;

/**
 * Finds the checkpoints, prompts and servers of a setup. Folders must have the files that will be read, repositories of
 * the hub must exist and have them, servers must answer. A module of one's own looks after itself.
 *
 * @throws {ConfigError} with a line for everything that is missing: the option, the place, and where to get it.
 */
export async function checkSetup(choice: SetupChoice, context: SetupContext = {}): Promise<FoundSource[]> {
  return choice.kind === 'showo2' ? checkShowo2(choice, context) : [];
}

/** The same for the options of a Show-o2. */
export async function checkShowo2(
  options: Showo2SetupOptions,
  context: SetupContext = {},
): Promise<FoundSource[]> {
  const fromHub = !(await stat(options.model).catch(() => undefined)) && HUB_ID.test(options.model);
  return checkNeeds([...showo2Needs(options, fromHub), ...(await needsOf(options.reward))], context);
}

async function needsOf(reward: RewardChoice): Promise<Need[]> {
  const { REWARDS } = await import('@flow-grpo/rewards/registry').catch(() =>
    optionalPackage('@flow-grpo/rewards', 'setup.reward'),
  );
  return rewardNeeds(reward, (name) => REWARDS[name as keyof typeof REWARDS]?.published);
}

async function checkNeeds(needs: readonly Need[], context: SetupContext): Promise<FoundSource[]> {
  const looked = await Promise.allSettled(needs.map((need) => look(need, context)));
  context.signal?.throwIfAborted();
  const told = new Set<string>(); // a folder that is not there at all is missing once
  const missing = looked.flatMap((result, i) => {
    if (result.status === 'fulfilled') return [];
    const { message } = result.reason as Error;
    if (told.has(message)) return [];
    told.add(message);
    return [`${needs[i]!.option}: ${message}. ${needs[i]!.hint}`];
  });
  if (missing.length > 0) throw new ConfigError(missing.join('\n'));
  return looked.map((result) => (result as PromiseFulfilledResult<FoundSource>).value);
}

async function look(need: Need, context: SetupContext): Promise<FoundSource> {
  const { option, place, kind } = need;
  const found = (state: string, download = 0): FoundSource => ({ option, place, state, download });
  if (kind === 'server') return found(await answers(place));
  if (kind === 'package') return found(installed(place));
  const there = await stat(place).catch(() => undefined);
  if (there?.isFile()) return found(`file, ${bytes(there.size)}`);
  if (kind === 'file') throw new Error(`${place} does not exist`);
  if (!there && !(option.startsWith('setup.reward') ? REWARD_ID : HUB_ID).test(place)) {
    throw new Error(`${place} does not exist, and it is not a hub id like org/name either`);
  }
  const files = there ? await filesIn(place, need.wanted) : await filesOf(place, need, context);
  for (const [what, pattern] of need.holds) {
    if (!files.some(({ file }) => pattern.test(file))) throw new Error(`${place} has no ${what}`);
  }
  const read = filesRead(files);
  if (there) return found(`folder, ${bytes(sum(read))}`);
  const download = sum(read.filter(({ cached }) => !cached));
  const cached = `${bytes(sum(read) - download)} in the cache`;
  return found(download > 0 ? `hub, ${bytes(download)} to download, ${cached}` : `hub, ${cached}`, download);
}

/** The wanted files of a repository. */
async function filesOf(
  place: string,
  { kind, wanted }: Need,
  { signal }: SetupContext,
): Promise<SnapshotFile[]> {
  return snapshotFiles(place, {
    repoType: kind === 'dataset' ? 'dataset' : 'model',
    filter: (file) => wanted.test(file),
    ...(signal && { signal }),
  }).catch((error: Error) => {
    throw new Error(`${place} is no file here, and ${error.message}`);
  });
}

async function filesIn(
  folder: string,
  wanted: RegExp,
  depth = FOLDER_DEPTH,
  top = folder,
): Promise<SnapshotFile[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      const info = await stat(path).catch(() => undefined); // entries may be links, as in the hub's cache
      if (info?.isDirectory()) return depth > 1 ? filesIn(path, wanted, depth - 1, top) : [];
      const file = relative(top, path).split(sep).join('/');
      return info && wanted.test(file) ? [{ file, size: info.size, cached: true }] : [];
    }),
  );
  return found.flat();
}

/** Where the same weights are there in several formats, one is read; of a folder with Wan's VAE that file alone. */
function filesRead(files: readonly SnapshotFile[]): readonly SnapshotFile[] {
  const vae = files.filter(({ file }) => file === 'Wan2.1_VAE.pth');
  if (vae.length > 0) return vae;
  const chosen = checkpointFiles(files.map(({ file }) => file));
  const isOther = ({ file }: SnapshotFile) => /\.(safetensors|bin)$/.test(file) && !chosen.includes(file);
  return chosen.length > 0 ? files.filter((file) => !isOther(file)) : files;
}

async function answers(url: string): Promise<string> {
  try {
    const response = await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(SERVER_MILLISECONDS) });
    return `answers (${response.status})`;
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : message;
    throw new Error(`${url} does not answer (${reason})`);
  }
}

function installed(name: string): string {
  try {
    createRequire(import.meta.url).resolve(name);
    return 'installed';
  } catch {
    throw new Error(`the package ${name} is not installed`);
  }
}

const sum = (files: readonly SnapshotFile[]) => files.reduce((total, { size }) => total + (size ?? 0), 0);
