/** A fingerprint of what defines a run: saved in checkpoints, compared when a run resumes. */
import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fetchFiles, findFiles, type RequiredFiles } from '@flow-grpo/checkpoint-io';
import { asScorer, type PromptSource } from '@flow-grpo/grpo-trainer';
import type { SetupFingerprint } from '@flow-grpo/grpo-trainer/node';
import { isRewardModule } from '@flow-grpo/rewards/registry';
import type { CodeSetup } from '../run/training-run';
import type { ModelSetupOptions, SetupChoice } from '../run-file/setup-schema';
import { loraOf } from '../run-file/train-schema';
import { requiredAdapter } from './lora';
import { isModelSetup, modelFingerprint, modelRequiredFiles } from './models';
import { moduleFiles } from './module-files';
import { findRewards } from './rewards';
import type { RunSetup, SetupContext } from './setup';

/** Larger files are hashed in parts: gigabytes of weights would take as long to hash as to load. */
const WHOLE_BYTES = 64 * 2 ** 20;
const PARTS = 64;
const PART_BYTES = 64 * 2 ** 10;

/**
 * The fingerprint of a setup that has been made, so that everything it names is on this disk: prompts by hash, files by
 * size and hash, rewards by name and options, the options of the setup. A setup's own `fingerprint` is added.
 */
export async function setupFingerprint(
  choice: SetupChoice | CodeSetup,
  made: RunSetup,
  context: SetupContext = {},
): Promise<SetupFingerprint> {
  const { prompts, evalPrompts, scorer } = made;
  return {
    kind: choice.kind,
    ...(prompts && { prompts: promptsInWords(prompts) }),
    ...(evalPrompts && { evalPrompts: promptsInWords(evalPrompts) }),
    ...(scorer && { scorer: asScorer(scorer).name }),
    ...(choice.kind === 'module' && {
      module: await moduleInWords(resolve(choice.path)),
      options: JSON.stringify(choice.options),
    }),
    ...(isModelSetup(choice) && (await filesAndRewards(choice, context))),
    ...made.fingerprint,
  };
}

/** The options, files and rewards of a model's setup. */
async function filesAndRewards(options: ModelSetupOptions, context: SetupContext): Promise<SetupFingerprint> {
  const words = modelFingerprint(options);
  const files = async (required: RequiredFiles, name: string) => {
    words[name] = await filesInWords(required, context);
  };
  for (const part of await modelRequiredFiles(options, context)) await files(part, part.option);
  const start = loraOf(options.train)?.start;
  if (start !== undefined) await files(requiredAdapter('train.lora.start', start), 'train.lora.start');
  for (const [key, entry] of Object.entries(options.reward)) {
    for (const { name, weight, options: own, definition } of await findRewards({ [key]: entry })) {
      words[`reward.${name}`] = JSON.stringify({ weight, ...own });
      if (isRewardModule(key)) words[`reward.${name}.module`] = await moduleInWords(key);
      for (const required of definition.requiredFiles?.(own) ?? []) {
        await files(required, `reward.${name}.${required.option}`);
      }
    }
  }
  return words;
}

/** `200 prompts, sha256 …` */
function promptsInWords(prompts: PromptSource): string {
  const hash = createHash('sha256');
  for (let i = 0; i < prompts.length; i++) {
    const { prompt, metadata = {} } = prompts.at(i)!;
    hash.update(`${JSON.stringify([prompt, metadata])}\n`);
  }
  return `${prompts.length} prompts, sha256 ${hash.digest('hex')}`;
}

/** The files of a source by size and hash; the same wherever they lie. */
async function filesInWords(required: RequiredFiles, { signal }: SetupContext): Promise<string> {
  const options = signal ? { signal } : {};
  const { place } = await fetchFiles(required, options);
  const { kind, files } = await findFiles(required, options);
  if (kind === 'file') return fileInWords(place);
  const names = files.map(({ file }) => file).sort();
  const each = await Promise.all(
    names.map(async (name) => `${name}: ${await fileInWords(join(place, name))}`),
  );
  return each.join('; ');
}

/** A module with the files that it imports: changing one of them changes what it does. */
async function moduleInWords(path: string): Promise<string> {
  const [own, ...imported] = await moduleFiles(path);
  const others = await Promise.all(
    imported.map(async (file) => `; ${file.name}: ${await fileInWords(file.path)}`),
  );
  return [await fileInWords(own!.path), ...others].join('');
}

/** `812 bytes, sha256 …`; of a large file the hash is that of parts at equal distances, its first and last bytes included. */
export async function fileInWords(path: string): Promise<string> {
  const { size } = await stat(path);
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  try {
    if (size <= WHOLE_BYTES) {
      for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
      return `${size} bytes, sha256 ${hash.digest('hex')}`;
    }
    const part = Buffer.alloc(PART_BYTES);
    for (let i = 0; i < PARTS; i++) {
      const at = Math.floor(((size - PART_BYTES) * i) / (PARTS - 1));
      const { bytesRead } = await file.read(part, 0, PART_BYTES, at);
      hash.update(part.subarray(0, bytesRead));
    }
    return `${size} bytes, sha256 of ${PARTS} parts ${hash.digest('hex')}`;
  } finally {
    await file.close();
  }
}
