import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { post, type RemoteOptions } from './post';
import { localServer } from './reward-servers.testing';

const send = (url: string, more: Partial<RemoteOptions> = {}) =>
  post(Buffer.from('body'), { url, retries: 0, ...more }).then((bytes) => Buffer.from(bytes).toString());

/** Answers with what it was sent and how. */
const echo = () =>
  localServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method, url, headers } = incoming;
    outgoing.end(
      `${method} ${url} ${Buffer.concat(chunks)} ${headers['x-key'] ?? 'no key'} ${headers['content-type']}`,
    );
  });
const redirecting = (status: number, location: (url: string) => string) =>
  localServer((incoming, outgoing) => {
    incoming.resume();
    outgoing.writeHead(status, { location: location(incoming.url ?? '') }).end('moved');
  });
const headers = { 'x-key': 'secret', 'Content-Type': 'a/b' };

describe('post', () => {
  it.each([307, 308])(
    'follows a redirect with status %i, and shows its headers to no other server',
    async (status) => {
      const target = await echo();
      const url = await redirecting(status, () => `${target}/there`);
      expect(await send(url, { headers })).toBe('POST /there body no key a/b');
      const own = await localServer(async (incoming, outgoing) => {
        incoming.resume();
        if (incoming.url === '/') outgoing.writeHead(status, { location: 'next' }).end();
        else outgoing.end(`${incoming.url} ${incoming.headers['x-key']}`);
      });
      expect(await send(own, { headers })).toBe('/next secret');
    },
  );

  it.each([
    [
      'a redirect that would change the method',
      302,
      'http://127.0.0.1:1/',
      /status 302 and names http:\/\/127/,
    ],
    ['a redirect to nowhere', 307, '', /redirected the request more than 5 times/],
    ['a redirect to a file', 308, 'file:///etc/passwd', /status 308 and no usable address/],
    ['a redirect to no address', 308, 'http://[', /status 308 and no usable address/],
  ])('ends at %s', async (_, status, location, message) => {
    await expect(send(await redirecting(status, () => location))).rejects.toThrow(message);
  });

  it('ends when redirects go in circles', async () => {
    let count = 0;
    const url = await redirecting(307, () => `/${++count}`);
    await expect(send(url)).rejects.toThrow('more than 5 times');
    expect(count).toBe(6);
  });

  const encoded = (encoding: string, body: Buffer) =>
    localServer((incoming, outgoing) => {
      incoming.resume();
      outgoing.writeHead(200, { 'content-encoding': encoding }).end(body);
    });

  it.each([
    ['gzip', gzipSync('hello')],
    ['x-gzip', gzipSync('hello')],
    ['GZIP', gzipSync('hello')],
    ['deflate', deflateSync('hello')],
    ['br', brotliCompressSync('hello')],
    ['identity', Buffer.from('hello')],
  ])('reads %s', async (encoding, body) => {
    expect(await send(await encoded(encoding, body))).toBe('hello');
  });

  it.each([
    ['gzip', gzipSync(Buffer.alloc(50_000_000)), /larger than 1000 bytes/],
    ['br', brotliCompressSync(Buffer.alloc(50_000_000)), /larger than 1000 bytes/],
    ['gzip', Buffer.from('no gzip'), /broken gzip/],
    ['gzip', gzipSync('hello').subarray(0, 20), /broken gzip/],
    ['zip\x1b[31m', Buffer.from('hello'), /content encoding zip, which is not known|cannot be reached/],
    ['zstd', Buffer.from('hello'), /content encoding zstd, which is not known/],
  ])('refuses %s that is none or too large', async (encoding, body, message) => {
    const url = await localServer((incoming, outgoing) => {
      incoming.resume();
      // Written by hand: Node refuses to send control characters in headers.
      outgoing.socket!.end(
        Buffer.concat([
          Buffer.from(
            `HTTP/1.1 200 OK\r\ncontent-encoding: ${encoding}\r\ncontent-length: ${body.length}\r\n\r\n`,
            'latin1',
          ),
          body,
        ]),
      );
    });
    await expect(send(url, { maxResponseBytes: 1000 })).rejects.toThrow(message);
  });

  it('shows none of a server’s escapes', async () => {
    const url = await localServer((incoming, outgoing) => {
      incoming.resume();
      outgoing.writeHead(400).end('\x1b]0;owned\x07bad \x1b[2Jrequest\x9b31m');
    });
    await expect(send(url)).rejects.toThrow(`${url} answered with status 400: bad request`);
  });
});
