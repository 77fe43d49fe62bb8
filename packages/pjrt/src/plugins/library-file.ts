/**
 * Whether a shared library is whole, before the loader maps it: a cut one ends the process with SIGBUS at its first page that
 * is missing.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const ELF = 0x7f454c46;
const HEADER_BYTES = 64;
/** Bytes of a program header of a 64-bit ELF file. */
const SEGMENT_BYTES = 56;

/**
 * Compares an ELF file's size with the segments and the section table that its header names. Other formats pass: their
 * loaders refuse a cut file.
 *
 * @throws Error that names the file, its size and the size that it should have at least.
 */
export function checkLibraryFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const header = read(file, 0, HEADER_BYTES);
    if (size === 0) throw damaged(path, 0, undefined);
    if (header.byteLength < 4 || header.getUint32(0) !== ELF) return;
    if (header.byteLength < HEADER_BYTES) throw damaged(path, size, undefined);
    if (header.getUint8(4) !== 2 || header.getUint8(5) !== 1) return; // 64-bit and little-endian alone are read here
    const at = (byte: number) => Number(header.getBigUint64(byte, true));
    const [segments, sections] = [at(32), at(40)];
    const [sectionBytes, sectionCount] = [header.getUint16(58, true), header.getUint16(60, true)];
    const segmentCount = header.getUint16(56, true);
    const table = read(file, segments, segmentCount * SEGMENT_BYTES);
    if (table.byteLength < segmentCount * SEGMENT_BYTES)
      throw damaged(path, size, segments + segmentCount * SEGMENT_BYTES);
    let end = sections + sectionBytes * sectionCount;
    for (let i = 0; i < segmentCount; i++) {
      const word = (byte: number) => Number(table.getBigUint64(i * SEGMENT_BYTES + byte, true));
      end = Math.max(end, word(8) + word(32)); // p_offset + p_filesz
    }
    if (size < end) throw damaged(path, size, end);
  } finally {
    closeSync(file);
  }
}

function read(file: number, position: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  const count = length === 0 ? 0 : readSync(file, bytes, 0, length, position);
  return new DataView(bytes.buffer, 0, count);
}

function damaged(path: string, size: number, wanted: number | undefined): Error {
  const whole = wanted === undefined ? '' : `, at least ${wanted} are needed`;
  return new Error(
    `The PJRT plugin ${path} is cut off: it has ${size} bytes${whole}. Delete its folder and install it again: npx pjrt install cpu`,
  );
}
