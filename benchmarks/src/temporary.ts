/** Folders for the files of a section. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Environment variable that names the folder of `--keep`. */
export const KEPT_FOLDER = 'FLOW_GRPO_BENCH_KEEP';

/** The folder of `--keep`, where later sections find what earlier ones left; without it one that is gone afterwards. */
export async function inKeptFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = process.env[KEPT_FOLDER];
  if (!folder) return inTemporaryFolder(work);
  mkdirSync(folder, { recursive: true });
  return work(folder);
}

/** A folder that is gone when the work is done. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'flow-grpo-bench-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
