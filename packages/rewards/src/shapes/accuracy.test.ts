import {
  FAULTS,
  type Fault,
  GENEVAL_TAGS,
  type GenevalTag,
  SHAPES,
  type ShapeScene,
} from '@flow-grpo/datasets';
import { rounds } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { describeScene, findShapes, judge } from './index';
import { spoil, take } from './scenes.testing';

const SCENES = rounds(200, 2000);
const pixels = ({ image, size }: ShapeScene) => ({ data: image, width: size, height: size });
const passes = (scene: ShapeScene) => judge(findShapes(pixels(scene)), scene.metadata).strict;
const share = (scenes: ShapeScene[], test = passes) =>
  scenes.reduce((sum, scene) => sum + test(scene), 0) / scenes.length;

/** The kinds whose captions leave room for a fault. */
const FAULTY: Record<Fault, readonly GenevalTag[]> = {
  count: GENEVAL_TAGS,
  shape: GENEVAL_TAGS,
  color: ['colors', 'color_attr'],
  place: ['position'],
};

describe('findShapes and judge on rendered scenes', () => {
  it.each(GENEVAL_TAGS)(`accept 99 % of ${SCENES} scenes of kind %s at 64 pixels`, (kind) => {
    expect(share(take(SCENES, { size: 64, kinds: [kind] }))).toBeGreaterThanOrEqual(0.99);
  });

  it.each(FAULTS)(`refuse 99 % of ${SCENES} scenes with a wrong %s at 64 pixels`, (fault) => {
    const scenes = take(SCENES, { size: 64, faultRate: 1, faults: [fault], kinds: FAULTY[fault] });
    expect(scenes.every((scene) => scene.fault === fault)).toBe(true);
    expect(new Set(scenes.map(({ metadata }) => metadata.tag))).toEqual(new Set(FAULTY[fault]));
    expect(share(scenes)).toBeLessThanOrEqual(0.01);
  });

  it.each(GENEVAL_TAGS)(
    `accept 95 % of ${SCENES} scenes with blur and noise, of kind %s at 64 pixels`,
    (kind) => {
      expect(share(take(SCENES, { size: 64, kinds: [kind] }).map(spoil))).toBeGreaterThanOrEqual(0.95);
    },
  );

  it.each([96, 128])('do so at %i pixels too', (size) => {
    for (const kind of GENEVAL_TAGS) {
      const scenes = take(60, { size, kinds: [kind] });
      expect(share(scenes), kind).toBeGreaterThanOrEqual(0.99);
      expect(share(scenes.slice(0, 20).map(spoil)), `${kind}, spoiled`).toBeGreaterThanOrEqual(0.95);
    }
    for (const fault of FAULTS) {
      const scenes = take(60, { size, faultRate: 1, faults: [fault], kinds: FAULTY[fault] });
      expect(share(scenes), fault).toBeLessThanOrEqual(0.01);
    }
  });

  it('tell all six shapes apart when asked to', () => {
    const test = (scene: ShapeScene) =>
      judge(findShapes(pixels(scene), { shapes: SHAPES }), scene.metadata).strict;
    expect(share(take(600, { size: 64, shapes: SHAPES }), test)).toBeGreaterThanOrEqual(0.99);
  });

  it('find place, size, colour and shape of what is drawn', () => {
    for (const scene of take(50, { size: 64 })) {
      const found = describeScene(pixels(scene));
      expect(found.length).toBe(scene.objects.length);
      for (const object of scene.objects) {
        const near = found.find(({ x, y }) => Math.hypot(x - object.x, y - object.y) < 0.01)!;
        expect([near.shape, near.color]).toEqual([object.shape, object.color]);
        expect(near.radius / object.radius).toBeGreaterThan(0.95);
        expect(near.radius / object.radius).toBeLessThan(1.05);
      }
    }
  });
});
