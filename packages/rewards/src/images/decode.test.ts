import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode';
import { imageFormat } from './formats';

interface PillowCase {
  name: string;
  /** Pillow's mode of the file. */
  mode: string;
  size: [number, number];
  /** The file in base64, and the bytes of `Image.open(file).convert('RGB')` in hexadecimal. */
  file: string;
  rgb: string;
}
/** Files written by Pillow (those of 16 bit by hand) with what it reads in them; AVIF is left to its decoders. */
const cases = JSON.parse(
  readFileSync(new URL('./testing/pillow.json', import.meta.url), 'utf8'),
) as PillowCase[];

describe('decodeImage', () => {
  it.each(cases)('reads $name as Pillow does', async ({ file, rgb, size }) => {
    const { data, width, height } = await decodeImage({ bytes: Buffer.from(file, 'base64') }, 0);
    expect([width, height]).toEqual(size);
    expect(Buffer.from(data).toString('hex')).toBe(rgb);
  });

  it('covers formats, modes, depths and profiles', () => {
    expect(new Set(cases.map(({ file }) => imageFormat(Buffer.from(file, 'base64'))))).toEqual(
      new Set(['png', 'jpeg', 'webp', 'gif', 'tiff']),
    );
    expect(cases.filter(({ name }) => /P3|linear/.test(name)).length).toBeGreaterThan(5);
    expect(new Set(cases.map(({ mode }) => mode))).toEqual(
      new Set(['1', 'CMYK', 'I;16', 'L', 'LA', 'P', 'RGB', 'RGBA']),
    );
  });

  it('reads AVIF', async () => {
    const bytes = await sharp({ create: { width: 8, height: 4, channels: 3, background: '#f00' } })
      .avif()
      .toBuffer();
    expect(await decodeImage({ bytes }, 0)).toMatchObject({ width: 8, height: 4 });
  });

  it.each([
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>'],
    ['SVG behind a byte order mark', '\ufeff<?xml version="1.0"?><svg/>'],
    ['PDF', '%PDF-1.7\n'],
    ['a netpbm file', 'P6 99999 99999 255\n'],
    ['nothing', ''],
  ])('refuses %s without looking further', async (_, text) => {
    await expect(decodeImage({ bytes: Buffer.from(text) }, 3)).rejects.toThrow(
      /^image 3 cannot be decoded: (it is not PNG|the file is empty)/,
    );
  });
});
