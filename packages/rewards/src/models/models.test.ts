import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clipConfig } from './clip/config';
import { fromOpenClip } from './clip/open-clip';
import { endPosition } from './clip/towers';
import { pixelOptions } from './load/clip-model';
import { fitRow } from './load/tokenizer';
import { centerCrop, cropOffset, shorterEdgeSize } from './preprocess/crop';
import { pillowResize } from './preprocess/pillow-resize';

describe('clipConfig', () => {
  it('takes transformers defaults where a key is left out', () => {
    const config = clipConfig({ text_config: { num_attention_heads: 12, eos_token_id: 2 } });
    expect(config.text).toEqual({ heads: 12, activation: 'quick_gelu', eps: 1e-5, eosTokenId: 2 });
    expect(config.vision.imageSize).toBe(224);
  });

  it('lets the older text_config_dict win with its defaults, as transformers does', () => {
    const config = clipConfig({
      text_config: { num_attention_heads: 12, eos_token_id: 2, hidden_act: 'gelu' },
      text_config_dict: { num_attention_heads: 16 },
    });
    expect(config.text).toEqual({ heads: 16, activation: 'quick_gelu', eps: 1e-5, eosTokenId: 49407 });
  });

  it('refuses activations it does not have', () => {
    expect(() => clipConfig({ vision_config: { hidden_act: 'relu' } })).toThrow(/vision_config\.hidden_act/);
  });
});

describe('tokens', () => {
  it('pools the first end, the first largest id under the old rule, and 0 without an end', () => {
    expect(endPosition([9, 3, 8, 8], 8)).toBe(2);
    expect(endPosition([7, 3, 9, 9], 2)).toBe(2);
    expect(endPosition([7, 3, 4], 8)).toBe(0);
  });

  it('rows get the asked length, start as they did and end in their end token or padding', () => {
    const ids = fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(ids, fc.integer({ min: 2, max: 20 }), (row, length) => {
        const fitted = fitRow(row, { length, pad: -1 });
        expect(fitted).toHaveLength(length);
        const kept = fitted.filter((id) => id !== -1);
        expect(kept[kept.length - 1]).toBe(row[row.length - 1]);
        expect(kept.slice(0, -1)).toEqual(row.slice(0, kept.length - 1));
      }),
    );
  });
});

describe('pictures', () => {
  it('reads both spellings of a preprocessor_config.json', () => {
    const nested = { size: { shortest_edge: 30 }, crop_size: { height: 28, width: 28 } };
    expect(pixelOptions(nested, 224)).toMatchObject({ edge: 30, crop: 28 });
    expect(pixelOptions({ size: 30, crop_size: 28 }, 224)).toMatchObject({ edge: 30, crop: 28 });
    expect(pixelOptions(undefined, 224)).toMatchObject({ edge: 224, crop: 224 });
  });

  it('rounds crop offsets as each library does', () => {
    expect(cropOffset(35, 32, 'floor')).toBe(1);
    expect(cropOffset(35, 32, 'even')).toBe(2);
    expect(cropOffset(33, 32, 'even')).toBe(0);
    expect(cropOffset(28, 33, 'floor')).toBe(-3);
  });

  it('keeps one colour whatever the sizes, and pads small pictures with zeros', () => {
    const side = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(side, side, side, side, fc.nat(255), (width, height, toWidth, toHeight, level) => {
        const image = { width, height, data: new Uint8Array(width * height * 3).fill(level) };
        const resized = pillowResize(image, toWidth, toHeight);
        expect([...new Set(resized.data)]).toEqual([level]);
        expect(resized.data).toHaveLength(toWidth * toHeight * 3);
        const sum = centerCrop(image, 20).data.reduce((total, byte) => total + byte, 0);
        expect(sum).toBe(level * width * height * 3);
      }),
    );
    expect(shorterEdgeSize(31, 45, 28)).toEqual([28, 40]);
    expect(() => pillowResize({ width: 2, height: 2, data: new Uint8Array(12) }, 0, 2)).toThrow(RangeError);
  });
});

it('fromOpenClip names what it does not know', () => {
  expect(() => fromOpenClip({ 'visual.attnpool.bias': null as never })).toThrow(/visual\.attnpool\.bias/);
});
