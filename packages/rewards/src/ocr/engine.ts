import { encodePng, type RgbImage } from '../images';
import type { TextLine } from './text-score';

/** Reads the lines of text in an image, from top to bottom. */
export type OcrEngine = (image: RgbImage) => Promise<TextLine[]>;

/**
 * PaddleOCR's detection and recognition through `@gutenye/ocr-node`, an optional peer dependency that brings
 * its models inside npm packages. The models load with the first image; images are read one at a time.
 *
 * @throws from the first call when the package is not installed
 */
export function paddleOcr(): OcrEngine {
  let loading: Promise<(image: RgbImage) => Promise<TextLine[]>> | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  return async (image) => {
    loading ??= load();
    const read = await loading;
    const reading = turn.then(() => read(image));
    turn = reading.catch(() => undefined);
    return reading;
  };
}

async function load(): Promise<(image: RgbImage) => Promise<TextLine[]>> {
  const { default: Ocr } = await import('@gutenye/ocr-node').catch((cause: unknown) => {
    throw new Error('OCR needs the package @gutenye/ocr-node: npm install @gutenye/ocr-node', { cause });
  });
  const ocr = await Ocr.create();
  return async (image) => {
    // Typed as a path, but handed on to sharp, which takes file contents as well.
    const file = (await encodePng(image)) as unknown as string;
    const lines: { text: string; mean: number }[] = await ocr.detect(file);
    return lines.map(({ text, mean }) => ({ text, confidence: mean }));
  };
}
