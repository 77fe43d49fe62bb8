/** The image formats that are read: pixels only. Drawings (SVG) and documents (PDF) can cost any amount of work. */
export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif' | 'tiff' | 'avif';

const latin1 = (bytes: Uint8Array, start: number, end: number) =>
  String.fromCharCode(...bytes.subarray(start, end));

/** The format by a file's first bytes, undefined for everything else. */
export function imageFormat(bytes: Uint8Array): ImageFormat | undefined {
  const start = latin1(bytes, 0, 4);
  if (latin1(bytes, 0, 8) === '\x89PNG\r\n\x1a\n') return 'png';
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (start === 'RIFF' && latin1(bytes, 8, 12) === 'WEBP') return 'webp';
  if (start === 'GIF8') return 'gif';
  if (start === 'II*\0' || start === 'MM\0*') return 'tiff';
  if (latin1(bytes, 4, 8) === 'ftyp' && /^avi[fs]$/.test(latin1(bytes, 8, 12))) return 'avif';
  return undefined;
}

/** Throws unless the bytes begin as those of a supported format do. */
export function checkFormat(bytes: Uint8Array): void {
  if (imageFormat(bytes) !== undefined) return;
  throw new Error(bytes.length === 0 ? 'the file is empty' : 'it is not PNG, JPEG, WebP, GIF, TIFF or AVIF');
}
