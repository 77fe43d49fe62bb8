/**
 * Mean OCR score of rendered signs by the way they are drawn, ten texts each, in the DejaVu fonts.
 *
 *     npm run build && node bench/ocr-kinds.mjs
 */
import { ocr } from '@flow-grpo/rewards';
import sharp from 'sharp';

const TEXTS = [
  'OPEN',
  'Coffee',
  'New York',
  'Platform 9',
  'Happy Birthday',
  'SALE 50',
  'Exit',
  'Fresh Bread',
];
TEXTS.push('Step Goal', 'Mind the gap');
const SIDE = 384;

/** Each kind by what it changes of black DejaVu Sans, 44 pixels, upright, on white. */
const KINDS = {
  plain: {},
  serif: { font: 'DejaVu Serif' },
  monospaced: { font: 'DejaVu Sans Mono' },
  bold: { weight: 'bold' },
  coloured: { ink: '#ffeb3b', paper: '#214994' },
  'light on black': { ink: 'white', paper: 'black' },
  'on a gradient': { paper: 'url(#sky)' },
  'rotated by 5°': { turn: 5 },
  'rotated by −8°': { turn: -8 },
  'rotated by 15°': { turn: 15 },
  'rotated by 45°': { turn: 45 },
  'noise of σ 18 levels': { noise: 18 },
  'noise of σ 80 levels': { noise: 80 },
  'blurred by σ 4 pixels': { blur: 4 },
  'grey, 20 levels darker than the paper': { ink: '#888', paper: '#9c9c9c' },
  'a word a line': { lines: true },
  'small, 20 pixels': { size: 20 },
  'tiny, 10 pixels': { size: 10 },
};

/** A small seeded source of normal numbers. */
function normals(seed) {
  let state = seed * 48271 + 11;
  const next = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}

async function draw(text, look, seed) {
  const { font = 'DejaVu Sans', weight = 'normal', size = 44, ink = 'black', paper = 'white' } = look;
  const lines = look.lines ? text.split(' ') : [text];
  const spans = lines.map((line, i) => {
    const y = SIDE / 2 + (i - (lines.length - 1) / 2) * 1.3 * size;
    return `<text x="${SIDE / 2}" y="${y}" text-anchor="middle" dominant-baseline="middle">${line}</text>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
    <linearGradient id="sky" x2="0" y2="1"><stop stop-color="#fd8"/><stop offset="1" stop-color="#e9b"/></linearGradient>
    <rect width="100%" height="100%" fill="${paper}"/>
    <g transform="rotate(${-(look.turn ?? 0)} ${SIDE / 2} ${SIDE / 2})" fill="${ink}" font-family="${font}"
      font-size="${size}" font-weight="${weight}">${spans.join('')}</g></svg>`;
  const drawn = sharp(Buffer.from(svg)).removeAlpha();
  if (look.blur) drawn.blur(look.blur);
  const { data, info } = await drawn.raw().toBuffer({ resolveWithObject: true });
  const normal = normals(seed);
  const bytes = look.noise ? Uint8ClampedArray.from(data, (v) => v + look.noise * normal()) : data;
  return sharp(bytes, { raw: info }).png().toBuffer();
}

const scorer = ocr();
const rows = [];
for (const [kind, look] of Object.entries(KINDS)) {
  const images = await Promise.all(TEXTS.map(async (text, i) => ({ bytes: await draw(text, look, i + 1) })));
  const prompts = TEXTS.map((text) => `a sign that says "${text}"`);
  const { scores } = await scorer.score(
    images,
    prompts,
    TEXTS.map(() => ({})),
  );
  rows.push({
    kind,
    mean: Number((scores.reduce((a, b) => a + b) / scores.length).toFixed(3)),
    whole: `${scores.filter((score) => score === 1).length} of ${scores.length}`,
  });
}
console.table(rows);
