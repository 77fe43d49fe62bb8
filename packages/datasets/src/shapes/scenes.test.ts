import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GENEVAL_TAGS, parseGenevalMetadata } from '../geneval/metadata';
import { captionFamilies, captionKey } from './captions';
import { COLORS } from './colors';
import { FAULTS } from './faults';
import { DEFAULT_SHAPES, OUTLINES, SHAPES } from './outlines';
import { sceneBatch, shapeScenes } from './scenes';
import { splitFamilies } from './splits';

describe('shapeScenes', () => {
  it('is a function of seed and index, in any order', () => {
    const a = shapeScenes({ size: 32, seed: 5 });
    const b = shapeScenes({ size: 32, seed: 5 });
    b.scene(17);
    expect(b.scene(3)).toEqual(a.scene(3));
    expect(a.from(3).next().value).toEqual(a.scene(3));
    expect(a.scene(4).image).not.toEqual(a.scene(3).image);
    expect(shapeScenes({ size: 32, seed: 6 }).scene(3).image).not.toEqual(a.scene(3).image);
    expect(a.example(3)).toEqual({ prompt: a.scene(3).prompt, metadata: a.scene(3).metadata });
  });

  it.each([16, 33, 64])('shows the same objects at every size, antialiased: %i pixels', (size) => {
    const fine = 9;
    const options = { seed: 1, split: 'all', shapes: SHAPES } as const;
    const coarse = shapeScenes({ ...options, size });
    const sharp = shapeScenes({ ...options, size: fine * size });
    let smooth = 0;
    let hard = 0;
    for (let i = 0; i < 12; i++) {
      const small = coarse.scene(i);
      const large = sharp.scene(i);
      expect(large.objects).toEqual(small.objects);
      for (let at = 0; at < small.image.length; at++) {
        const x = fine * (Math.floor(at / 3) % size);
        const y = fine * Math.floor(at / (3 * size));
        const shown = (dx: number, dy: number) =>
          large.image[3 * ((y + dy) * fine * size + x + dx) + (at % 3)]!;
        let mean = 0;
        for (let k = 0; k < fine ** 2; k++) mean += shown(k % fine, Math.floor(k / fine)) / fine ** 2;
        smooth += (small.image[at]! - mean) ** 2;
        hard += (shown((fine - 1) / 2, (fine - 1) / 2) - mean) ** 2;
      }
    }
    // A pixel is nearly the mean of what lies in it; what lies at its centre is several times as far off.
    expect(Math.sqrt(smooth)).toBeLessThan(Math.sqrt(hard) / 3);
    expect(Math.sqrt(smooth / (12 * size ** 2 * 3))).toBeLessThan(0.03);
  });

  it('draws within [0, 1], inside the image, without overlap, in every kind and with every shape', () => {
    const scenes = shapeScenes({ size: 24, seed: 2, shapes: SHAPES });
    const seen = new Set<string>();
    for (let i = 0; i < 400; i++) {
      const { image, objects, metadata } = scenes.scene(i);
      seen.add(metadata.tag);
      expect(image.every((v) => v >= 0 && v <= 1)).toBe(true);
      objects.forEach((a, j) => {
        const reach = OUTLINES[a.shape].bound * a.radius;
        expect(Math.min(a.x, a.y) - reach).toBeGreaterThan(0);
        expect(Math.max(a.x, a.y) + reach).toBeLessThan(1);
        for (const b of objects.slice(0, j)) {
          const apart = Math.hypot(a.x - b.x, a.y - b.y);
          expect(apart).toBeGreaterThan(reach + OUTLINES[b.shape].bound * b.radius);
        }
      });
    }
    expect([...seen].sort()).toEqual([...GENEVAL_TAGS].sort());
  });

  it('varies sizes, places, rotations and paper, and never ends', () => {
    const scenes = shapeScenes({ size: 16, kinds: ['colors'] });
    const drawn = Array.from({ length: 300 }, (_, i) => scenes.scene(i));
    const spread = (values: number[]) => Math.max(...values) - Math.min(...values);
    const objects = drawn.map((scene) => scene.objects[0]!);
    expect(spread(objects.map(({ x }) => x))).toBeGreaterThan(0.5);
    expect(spread(objects.map(({ y }) => y))).toBeGreaterThan(0.5);
    expect(spread(objects.map(({ radius }) => radius))).toBeGreaterThan(0.08);
    expect(spread(objects.map(({ rotation }) => rotation))).toBeGreaterThan(0.45);
    expect(Math.max(...objects.map(({ rotation }) => Math.abs(rotation)))).toBeLessThanOrEqual(0.25);
    for (const channel of [0, 1, 2]) {
      expect(spread(drawn.map(({ image }) => image[channel]!))).toBeGreaterThan(0.06);
    }
    const far = [2 ** 40, 2 ** 40 + 2 ** 32, 2 ** 53 - 1].map((index) => scenes.scene(index).image);
    expect(new Set(far.map((image) => image.join())).size).toBe(3);
    const stream = scenes.from(299);
    expect(stream.next().value).toEqual(drawn[299]);
    expect(stream.next().value).toEqual(scenes.scene(300));
  });

  it('draws what the prompt says', () => {
    const scenes = shapeScenes({ size: 16, split: 'all' });
    for (let i = 0; i < 500; i++) {
      const { metadata, objects } = scenes.scene(i);
      const wanted = metadata.include.flatMap((object) => new Array(object.count).fill(object.class));
      expect(objects.map(({ shape }) => shape).sort()).toEqual(wanted.sort());
      for (const { class: name, color, position } of metadata.include) {
        const mine = objects.filter(({ shape }) => shape === name);
        if (color) expect(mine.every((object) => object.color === color)).toBe(true);
        if (!position) continue;
        const other = objects.find(({ shape }) => shape === metadata.include[position[1]]!.class)!;
        const [dx, dy] = [mine[0]!.x - other.x, mine[0]!.y - other.y];
        const along = { 'left of': -dx, 'right of': dx, above: -dy, below: dy }[position[0]];
        expect(along).toBeGreaterThan(0.8 * Math.hypot(dx, dy));
      }
    }
  });

  it('writes prompts in its vocabulary, with valid GenEval metadata', () => {
    for (const split of ['train', 'test'] as const) {
      const { prompts, vocabulary } = shapeScenes({ size: 16, split, shapes: SHAPES });
      for (const { prompt, metadata } of prompts) {
        expect(prompt.split(' ').filter((word) => !vocabulary.includes(word))).toEqual([]);
        expect(parseGenevalMetadata(metadata).prompt).toBe(prompt);
      }
    }
    const { prompts } = shapeScenes({ size: 16, split: 'all' });
    const position = prompts.find(({ prompt }) => prompt === 'an orange star left of a blue circle');
    expect(position?.metadata.include).toEqual([
      { class: 'circle', count: 1, color: 'blue' },
      { class: 'star', count: 1, color: 'orange', position: ['left of', 0] },
    ]);
    const counting = prompts.find(({ prompt }) => prompt === 'three red circles');
    expect(counting?.metadata).toEqual({
      tag: 'counting',
      include: [{ class: 'circle', count: 3, color: 'red' }],
      exclude: [{ class: 'circle', count: 4 }],
      prompt: 'three red circles',
    });
  });

  it('follows the weights of the kinds', () => {
    const scenes = shapeScenes({ size: 16, weights: { counting: 5, single_object: 0 } });
    const tags = Array.from({ length: 3000 }, (_, i) => scenes.example(i).metadata.tag);
    const share = (tag: string) => tags.filter((other) => other === tag).length / tags.length;
    expect(share('single_object')).toBe(0);
    expect(share('counting')).toBeCloseTo(5 / 9, 1);
    expect(share('colors')).toBeCloseTo(1 / 9, 1);
  });

  it('plants the faults asked for', () => {
    for (const fault of FAULTS) {
      const scenes = shapeScenes({ size: 16, faultRate: 1, faults: [fault], kinds: ['position'] });
      const planted = Array.from({ length: 60 }, (_, i) => scenes.scene(i).fault);
      expect(new Set(planted).has(fault)).toBe(true);
      if (fault !== 'color') expect(planted.every((other) => other === fault)).toBe(true);
    }
  });

  it('batches the same pixels, into an array of the caller', () => {
    const scenes = shapeScenes({ size: 16 });
    const out = new Float32Array(3 * 16 * 16 * 3);
    const batch = sceneBatch(scenes, 10, 3, out);
    expect(batch.images).toBe(out);
    expect(batch.shape).toEqual([3, 16, 16, 3]);
    expect(out.slice(768, 1536)).toEqual(scenes.scene(11).image);
    expect(batch.prompts[2]).toBe(scenes.scene(12).prompt);
    expect(() => sceneBatch(scenes, 0, 2, out)).toThrow('2 images need 1536');
  });

  it('names the option that is wrong', () => {
    expect(() => shapeScenes({ size: 8 })).toThrow('size must be a whole number from 16');
    expect(() => shapeScenes({ size: 16, shapes: ['blob' as never] })).toThrow('"blob" is none of circle');
    expect(() => shapeScenes({ size: 16, kinds: [] })).toThrow('kinds is empty');
    expect(() => shapeScenes({ size: 16, weights: { counting: -1 } })).toThrow('weights.counting');
    expect(() => shapeScenes({ size: 16, kinds: ['colors'], weights: { counting: 1 } })).toThrow(
      'not one of kinds',
    );
    expect(() => shapeScenes({ size: 16, shapes: ['star'] })).toThrow('too few for a held-out split');
    expect(() => shapeScenes({ size: 16, shapes: ['star'], split: 'all' })).toThrow(
      'no prompt of kind "two_object"',
    );
    expect(() => shapeScenes({ size: 16 }).scene(-1)).toThrow('whole number from 0');
  });
});

describe('splits', () => {
  it('hold out whole combinations of every kind, whatever the shapes and colours', () => {
    fc.assert(
      fc.property(
        fc.subarray([...SHAPES], { minLength: 3 }),
        fc.subarray(COLORS, { minLength: 2 }),
        fc.double({ min: 0.001, max: 0.999, noNaN: true }),
        (shapes, colors, heldOut) => {
          for (const kind of GENEVAL_TAGS) {
            const families = captionFamilies(kind, shapes, colors);
            const keys = (split: 'train' | 'test') =>
              new Set(
                splitFamilies(families, split, heldOut, kind).flatMap(({ captions }) =>
                  captions.map(captionKey),
                ),
              );
            const train = keys('train');
            const test = keys('test');
            expect(train.size).toBeGreaterThan(0);
            expect(test.size).toBeGreaterThan(0);
            expect([...test].filter((key) => train.has(key))).toEqual([]);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it('never show a test combination in training, and hold out about a quarter', () => {
    const options = { size: 16 } as const;
    const text = (split: 'train' | 'test') =>
      shapeScenes({ ...options, split }).prompts.map(({ prompt }) => prompt);
    const train = text('train');
    const test = new Set(text('test'));
    expect(test.size / (train.length + test.size)).toBeGreaterThan(0.2);
    expect(test.size / (train.length + test.size)).toBeLessThan(0.3);
    const stream = shapeScenes(options);
    for (let i = 0; i < 2000; i++) expect(test.has(stream.example(i).prompt)).toBe(false);
    const swapped = captionFamilies('two_object', DEFAULT_SHAPES, COLORS)[0]!.captions;
    expect(new Set(swapped.map(captionKey)).size).toBe(swapped.length / 2);
  });
});
