import { mixBits, type Random } from '../random';
import { PALETTE } from './colors';
import type { SceneObject } from './layout';
import { OUTLINES } from './outlines';

/** The paper behind the shapes. */
export interface Background {
  /** Three channels in [0, 1], light enough for every colour of the palette to stand out. */
  tint: [number, number, number];
  /** Two faint waves: amplitude, radians across the image in x and y, phase. */
  waves: [number, number, number, number][];
  /** Brightness added from the top to the bottom. */
  slope: number;
}

export function drawBackground(random: Random): Background {
  const light = () => 0.9 + 0.08 * random();
  const wave = (): [number, number, number, number] => [
    0.01,
    (random() - 0.5) * 50,
    (random() - 0.5) * 50,
    random() * 2 * Math.PI,
  ];
  return { tint: [light(), light(), light()], waves: [wave(), wave()], slope: 0.03 * (random() - 0.5) };
}

export interface Picture {
  objects: SceneObject[];
  background: Background;
  /** Colour offset of each object, three channels. */
  jitter: [number, number, number][];
  /** Seed of the grain; one picture at two sizes differs in nothing else. */
  grainSeed: number;
}

const SHADE = 0.1; // darkening from a shape's top to its bottom
const GRAIN = 0.01; // width of the uniform noise on every channel

/**
 * Draws a picture of `size` × `size` pixels into `out` (HWC, three channels in [0, 1], from `offset`).
 * Coverage comes from the signed distance at pixel centres, clamped over one pixel, and only within each
 * shape's bounding box.
 */
export function renderPicture(picture: Picture, size: number, out: Float32Array, offset = 0): void {
  paintBackground(picture.background, size, out, offset);
  picture.objects.forEach((object, i) => {
    paintObject(object, picture.jitter[i]!, size, out, offset);
  });
  addGrain(picture.grainSeed, size, out, offset);
}

function paintBackground(
  { tint, waves, slope }: Background,
  size: number,
  out: Float32Array,
  offset: number,
) {
  // sin(a + b) = sin a cos b + cos a sin b: each wave costs 4 × size sines instead of size².
  const across = waves.map(([amplitude, fx, , phase]) => {
    const sine = new Float64Array(size);
    const cosine = new Float64Array(size);
    for (let x = 0; x < size; x++) {
      const angle = (fx * (x + 0.5)) / size + phase;
      sine[x] = amplitude * Math.sin(angle);
      cosine[x] = amplitude * Math.cos(angle);
    }
    return { sine, cosine };
  });
  const row = new Float64Array(size);
  const [r, g, b] = tint;
  let at = offset;
  for (let y = 0; y < size; y++) {
    row.fill(slope * ((y + 0.5) / size - 0.5));
    for (let w = 0; w < waves.length; w++) {
      const angle = (waves[w]![2] * (y + 0.5)) / size;
      const sine = Math.sin(angle);
      const cosine = Math.cos(angle);
      const wave = across[w]!;
      for (let x = 0; x < size; x++) row[x]! += wave.sine[x]! * cosine + wave.cosine[x]! * sine;
    }
    for (let x = 0; x < size; x++) {
      const light = row[x]!;
      out[at++] = r + light;
      out[at++] = g + light;
      out[at++] = b + light;
    }
  }
}

function paintObject(
  object: SceneObject,
  jitter: [number, number, number],
  size: number,
  out: Float32Array,
  offset: number,
) {
  const { distance, bound } = OUTLINES[object.shape];
  const radius = object.radius * size;
  const centreX = object.x * size - 0.5;
  const centreY = object.y * size - 0.5;
  const reach = bound * radius + 1;
  const cosine = Math.cos(object.rotation) / radius;
  const sine = Math.sin(object.rotation) / radius;
  const [pr, pg, pb] = PALETTE[object.color];
  const r = pr + jitter[0];
  const g = pg + jitter[1];
  const b = pb + jitter[2];
  const top = Math.max(0, Math.ceil(centreY - reach));
  const bottom = Math.min(size - 1, Math.floor(centreY + reach));
  const left = Math.max(0, Math.ceil(centreX - reach));
  const right = Math.min(size - 1, Math.floor(centreX + reach));
  for (let y = top; y <= bottom; y++) {
    const dy = y - centreY;
    const shade = 1 - SHADE * Math.max(-1, Math.min(1, dy / radius));
    for (let x = left; x <= right; x++) {
      const dx = x - centreX;
      const signed = distance(dx * cosine + dy * sine, dy * cosine - dx * sine) * radius;
      if (signed >= 0.5) continue;
      const cover = signed <= -0.5 ? 1 : 0.5 - signed;
      const at = offset + 3 * (y * size + x);
      out[at]! += cover * (r * shade - out[at]!);
      out[at + 1]! += cover * (g * shade - out[at + 1]!);
      out[at + 2]! += cover * (b * shade - out[at + 2]!);
    }
  }
}

function addGrain(seed: number, size: number, out: Float32Array, offset: number) {
  let state = mixBits(seed) | 1;
  const end = offset + 3 * size * size;
  const scale = GRAIN / 2 ** 32;
  for (let i = offset; i < end; i++) {
    state ^= state << 13; // xorshift32
    state ^= state >>> 17;
    state ^= state << 5;
    const value = out[i]! + state * scale;
    out[i] = value < 0 ? 0 : Math.min(value, 1);
  }
}
