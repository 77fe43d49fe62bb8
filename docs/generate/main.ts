/** What the site shows that comes from the code itself: pictures from the sampler, options from their schema. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { heroPicture } from './hero';
import { noiseErrorPicture } from './noise-error';
import { namesTable, optionsTable } from './options';
import { pathsPicture } from './paths';
import { stepNoisePicture } from './step-noise';

/** Writes everything generated below `folder`, the site's sources. */
export async function generate(folder: string): Promise<void> {
  tf.enableProdMode(); // no advice on faster backends
  await tf.setBackend('cpu');
  const files: Record<string, () => string> = {
    'public/pictures/hero.svg': heroPicture,
    'public/pictures/paths.svg': pathsPicture,
    'public/pictures/step-noise.svg': stepNoisePicture,
    'public/pictures/noise-error.svg': noiseErrorPicture,
    'generated/options.md': optionsTable,
    'generated/names.md': namesTable,
  };
  for (const [file, make] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), make());
  }
}
