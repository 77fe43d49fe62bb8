import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CheckpointError, memorySource, openSource } from './index';

const LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n';
const html = '<!DOCTYPE html><html><head><title>Sign in</title></head></html>';
/** A zip whose directory names one stored file of no bytes. */
function zipOf(name: string): Buffer {
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50);
  local.writeUInt16LE(name.length, 26);
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50);
  entry.writeUInt16LE(name.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + name.length, 12);
  end.writeUInt32LE(30 + name.length, 16);
  return Buffer.concat([local, Buffer.from(name), entry, Buffer.from(name), end]);
}
const tar = Buffer.alloc(1024);
tar.write('weights.bin');
tar.write('ustar', 257);

describe('files that are no checkpoints', () => {
  it.each<[what: string, bytes: string | Uint8Array, message: string]>([
    ['nothing', '', 'is empty'],
    ['a Git LFS pointer', LFS, 'is a Git LFS pointer'],
    ['a web page', html, 'is an HTML page'],
    ['a web page behind white space and a mark', `\ufeff\n  ${html.toLowerCase()}`, 'is an HTML page'],
    [
      'the error of a storage server',
      '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
      'an XML document',
    ],
    ['an error in JSON', '{"error":"Repository not found"}', 'is a JSON document'],
    ['gzip', gzipSync(Buffer.alloc(100)), 'is compressed with gzip'],
    ['bzip2', 'BZh91AY&SY', 'is compressed with bzip2'],
    ['xz', '\xfd7zXZ\0', 'is compressed with xz'],
    ['zstd', Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0]), 'is compressed with zstd'],
    ['GGUF', 'GGUF\x03\0\0\0', 'is a GGUF file'],
    ['HDF5', Uint8Array.from([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]), 'is an HDF5 file'],
    ['a NumPy array', Uint8Array.from([0x93, ...Buffer.from('NUMPY'), 1, 0]), 'is a NumPy array'],
    ['a NumPy archive', zipOf('w.npy'), 'is a NumPy archive'],
    ['another zip', zipOf('word/document.xml'), 'is a zip without data.pkl'],
    [
      'TensorFlow Lite',
      Buffer.concat([Buffer.from([0x1c, 0, 0, 0]), Buffer.from('TFL3')]),
      'TensorFlow Lite',
    ],
    ['a tar archive', tar, 'is a tar archive'],
    ['ONNX', Uint8Array.from([0x08, 0x08, 0x12, 0x07, ...Buffer.from('pytorch')]), 'is an ONNX model'],
    ['a damaged download', new Uint8Array(4096), 'starts with zeros alone'],
    ['a pickle of something else', Buffer.from('\x80\x04K\x01.', 'latin1'), 'not one of torch'],
  ])('%s', async (_, bytes, message) => {
    const source = memorySource(
      'model.safetensors',
      typeof bytes === 'string' ? Buffer.from(bytes, bytes.startsWith('\ufeff') ? 'utf8' : 'latin1') : bytes,
    );
    const opening = openSource(source);
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(/^model\.safetensors: /);
  });
});
