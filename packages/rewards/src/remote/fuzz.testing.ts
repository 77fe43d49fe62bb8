/** Random damage to what reward servers and their clients send each other; a function of a seed. */
import { gzipSync } from 'node:zlib';
import { pick, type Random, randomFrom } from '@flow-grpo/test-support/fuzz';
import { NdArray, pickle } from './pickle';

/** Numbers, names and marks on which readers stumble. */
const TOKENS = [
  ...[
    '\x80\x04',
    '(',
    '}',
    ']',
    '2',
    '0',
    '.',
    'N',
    'h\x00',
    '\x94',
    'R',
    '\x93',
    'c',
    'b',
    '\xff\xff\xff\xff',
    '\0\0\0\0',
  ],
  ...[
    'null',
    'NaN',
    '1e999',
    '-0',
    '[]',
    '{}',
    '"',
    '\\u0000',
    '__proto__',
    'constructor',
    'scores',
    'details',
    'images',
  ],
  ...[
    '--x',
    '\r\n\r\n',
    'content-disposition: form-data; name="images"',
    '\x1b[2J',
    '<svg/>',
    '\ud83d',
    'numpy',
    '_frombuffer',
  ],
];

/** One to `most` edits: bits, bytes, tokens, cuts, removals, copies from elsewhere in the input. */
export function damaged(original: Uint8Array, random: Random, most = 2): Buffer {
  let bytes: Buffer = Buffer.from(original);
  for (let edits = 1 + random(most); edits > 0; edits--) {
    const at = random(bytes.length + 1);
    const length = 1 + random(16);
    const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)];
    const other = random(bytes.length + 1);
    const kinds: (() => Buffer)[] = [
      () => Buffer.concat([before, Buffer.of(random(256)), behind.subarray(1)]),
      () => Buffer.concat([before, Buffer.of((behind[0] ?? 0) ^ (1 << random(8))), behind.subarray(1)]),
      () => Buffer.concat([before, Buffer.from(pick(random, TOKENS), 'latin1'), behind]),
      () => Buffer.concat([before, Buffer.from(pick(random, TOKENS), 'latin1'), behind.subarray(length)]),
      () => Buffer.concat([before, behind.subarray(length)]),
      () => Buffer.concat([before, bytes.subarray(other, other + length * 4), behind]),
      () => Buffer.from(before),
    ];
    bytes = pick(random, kinds)();
  }
  return bytes;
}

/** A pickle without its frame, whose length would give most damage away at once. */
function unframed(value: unknown): Buffer {
  const bytes = Buffer.from(pickle(value));
  return bytes[2] === 0x95 ? Buffer.concat([bytes.subarray(0, 2), bytes.subarray(11)]) : bytes;
}

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);

/** A request to a reward server. */
export interface FuzzRequest {
  path: '/' | '/score';
  type: string;
  body: Buffer;
}

const part = (name: string, body: Uint8Array, more = '') =>
  Buffer.concat([
    Buffer.from(`--x\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`),
    body,
    Buffer.from('\r\n'),
  ]);

/** Good requests of each kind. */
const REQUESTS: readonly FuzzRequest[] = [
  {
    path: '/score',
    type: 'application/json',
    body: Buffer.from(
      JSON.stringify({
        images: [PIXEL.toString('base64')],
        prompts: ['a cat'],
        metadata: [{ tag: 'counting' }],
      }),
    ),
  },
  {
    path: '/score',
    type: 'multipart/form-data; boundary=x',
    body: Buffer.concat([
      part('request', Buffer.from('{"prompts":["a cat"],"metadata":[{"a":1}]}')),
      part('images', PIXEL, '; filename="image"'),
      Buffer.from('--x--\r\n'),
    ]),
  },
  {
    path: '/',
    type: 'application/octet-stream',
    body: unframed({
      images: [PIXEL],
      meta_datas: [{ tag: 'counting', include: [{ class: 'cat', count: 2 }] }],
      only_strict: true,
    }),
  },
  {
    path: '/',
    type: 'application/octet-stream',
    body: unframed({ images: [PIXEL], prompts: new NdArray('<U', [1], ['a cat']) }),
  },
];

export function fuzzRequest(seed: number): FuzzRequest {
  const random = randomFrom(seed);
  const request = pick(random, REQUESTS);
  const body = damaged(request.body, random);
  const type = random(10) === 0 ? pick(random, REQUESTS).type : request.type;
  const path = random(20) === 0 ? pick(random, REQUESTS).path : request.path;
  return { path, type, body };
}

/** An answer of a reward server, as it goes over the wire. */
export interface FuzzResponse {
  kind: 'json' | 'pickle';
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

const GROUPS = { counting: [1, -10], colors: [-10, 0.5] };
const ANSWERS: readonly Pick<FuzzResponse, 'kind' | 'body'>[] = [
  { kind: 'json', body: Buffer.from('{"scores":[1,0.5],"details":{"strict":[1,null],"a":[0,2]}}') },
  { kind: 'pickle', body: unframed({ outputs: [1.5, 2.5] }) },
  {
    kind: 'pickle',
    body: unframed({
      ...{ scores: [1, 0.5], rewards: [1, 0.5], strict_rewards: [1, 0] },
      ...{ group_rewards: GROUPS, group_strict_rewards: GROUPS },
    }),
  },
];

export function fuzzResponse(seed: number): FuzzResponse {
  const random = randomFrom(seed);
  const { kind, body: good } = pick(random, ANSWERS);
  let body = damaged(good, random);
  const status = pick(random, [...new Array<number>(12).fill(200), 204, 302, 307, 400, 500]);
  const headers: Record<string, string> = {};
  if (random(6) === 0) {
    headers['content-encoding'] = pick(random, ['gzip', 'br', 'deflate', 'identity', 'x']);
    if (random(2) === 0) body = damaged(gzipSync(body), random);
  }
  if (status === 307)
    headers.location = pick(random, ['', '/', 'http://[', 'file:///etc/passwd', '//', 'data:,x']);
  return { kind, status, headers, body };
}
