import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openPrompts } from '@flow-grpo/datasets';
import { plainText } from '../plain-text';
import { reported, UsageError } from './usage-error';

/** An image of the folder with what its reward is asked about. */
export interface ImageEntry {
  /** Name within the folder. */
  file: string;
  path: string;
  prompt: string;
  metadata: Record<string, unknown>;
}

export interface InputFlags {
  images: string;
  prompts?: string;
  promptColumn: string;
  match?: string;
}

const IMAGE = /\.(png|jpe?g|webp|gif|tiff?|avif)$/i;
/** The column that names files in image folders of the Hugging Face hub. */
const FILE_NAME = 'file_name';

/**
 * The folder's images in natural order with their prompts: matched by file name where the prompts have such a
 * column, else one after the other.
 *
 * @throws {UsageError} naming the folder, file, count or image that is wrong.
 */
export async function readInputs(flags: InputFlags, needsPrompts: boolean): Promise<ImageEntry[]> {
  const { images: folder, prompts: source, promptColumn, match } = flags;
  const files = await imagesIn(folder);
  const entry = (file: string, prompt: string, metadata: Record<string, unknown>): ImageEntry => ({
    ...{ file, path: join(folder, file), prompt, metadata },
  });
  if (source === undefined) {
    if (needsPrompts) throw new UsageError('this reward needs prompts: give a file by --prompts');
    return files.map((file) => entry(file, '', {}));
  }
  const set = await reported(() => openPrompts(source, { promptColumn }));
  try {
    const examples = await reported(async () => {
      const read = [];
      for await (const { prompt, metadata = {} } of set) read.push({ prompt, metadata });
      return read;
    });
    const column = match ?? (examples.every(({ metadata }) => FILE_NAME in metadata) ? FILE_NAME : undefined);
    if (column === undefined) {
      if (examples.length !== files.length) {
        throw new UsageError(
          `${folder} has ${files.length} images and ${source} has ${examples.length} prompts; there must be one ` +
            'prompt per image, or a column with file names to match by (--match)',
        );
      }
      return files.map((file, i) => entry(file, examples[i]!.prompt, examples[i]!.metadata));
    }
    const byFile = new Map(examples.map((example) => [String(example.metadata[column]), example]));
    return files.map((file) => {
      const found = byFile.get(file);
      if (!found) throw new UsageError(`${source} has no row whose ${column} is ${file}`);
      return entry(file, found.prompt, found.metadata);
    });
  } finally {
    await set.close();
  }
}

async function imagesIn(folder: string): Promise<string[]> {
  const found = await stat(folder).catch(() => undefined);
  if (!found) throw new UsageError(`the folder ${folder} does not exist`);
  if (!found.isDirectory()) throw new UsageError(`${folder} is a file, not a folder of images`);
  const all = (await readdir(folder)).filter((name) => IMAGE.test(name));
  // Hidden files are companions that systems leave beside images (macOS: ._a.png).
  const names = all.filter((name) => !name.startsWith('.'));
  const hidden = all.length - names.length;
  if (hidden > 0) {
    const example = all.find((name) => name.startsWith('.'))!;
    process.stderr.write(
      plainText(`${folder}: ${hidden} hidden file${hidden > 1 ? 's' : ''} left out (${example})\n`),
    );
  }
  if (names.length === 0) {
    throw new UsageError(`${folder} has no images (png, jpg, jpeg, webp, gif, tif, tiff, avif)`);
  }
  for (const name of names) {
    // Left out in silence it would give every later image the prompt of another.
    if ((await stat(join(folder, name))).size === 0) {
      throw new UsageError(`${join(folder, name)} cannot be read as an image: the file is empty`);
    }
  }
  const natural = new Intl.Collator('en', { numeric: true });
  return names.sort((a, b) => natural.compare(a, b) || (a < b ? -1 : 1));
}
