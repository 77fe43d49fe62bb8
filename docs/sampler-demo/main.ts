import '@tensorflow/tfjs-backend-cpu';
import type { RuleName } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { drawLogProbs, drawMarginal, drawPlane } from './draw';
import { mixtures } from './mixture';
import { marginalError, type Simulation, simulate } from './simulate';

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const input = (id: string) => element<HTMLInputElement>(id);
const select = (id: string) => element<HTMLSelectElement>(id);
const text = (id: string, value: string) => {
  element(id).textContent = value;
};

const seconds = 4;
const pause = 1.5;
let run: Simulation;
let playing = true;
let position = 0;

function settings() {
  return {
    mixture: mixtures[select('data').value]!,
    rule: select('rule').value as RuleName,
    noiseLevel: Number(input('noise').value),
    steps: Number(input('steps').value),
    particles: 1500,
    seed: 20,
  };
}

/** What a setting is called, so that the slider reads as a way from ODE to SDE. */
function character(noiseLevel: number): string {
  if (noiseLevel === 0) return 'ODE: no noise, no log-probability';
  if (noiseLevel < 0.4) return 'a little exploration';
  if (noiseLevel <= 0.8) return 'as Flow-GRPO trains (0.7)';
  return 'strong exploration';
}

function restart(): void {
  run = simulate(settings());
  const { noiseLevel, steps, mixture } = run.settings;
  text('noise-value', noiseLevel.toFixed(2));
  text('character', character(noiseLevel));
  text('steps-value', String(steps));
  text('path', run.pathLength.toFixed(2));
  text('error', `${(100 * marginalError(mixture, run.frames.at(-1)!, 1)).toFixed(1)} %`);
  text('trainable', `${run.logProbs.filter((value) => value !== null).length} of ${steps}`);
  document.body.dataset.ready = String(Number(document.body.dataset.ready ?? 0) + 1);
}

function show(): void {
  const steps = run.settings.steps;
  const at = Math.min(1, position) * steps;
  const frame = Math.min(steps, Math.round(at));
  drawPlane(element('plane'), run, at, 24);
  drawMarginal(element('marginal'), run, frame);
  drawLogProbs(element('logprobs'), run, frame);
  text('time', Math.min(1, position).toFixed(2));
  input('scrub').value = String(Math.min(1, position));
}

function play(on: boolean): void {
  playing = on;
  text('play', on ? 'Pause' : 'Play');
}

let last = performance.now();
function tick(now: number): void {
  if (playing) {
    // A frame's time may lie a little before the moment the page asked for it.
    position += Math.min(0.1, Math.max(0, now - last) / 1000) / seconds;
    if (position > 1 + pause / seconds) position = 0;
    show();
  }
  last = now;
  requestAnimationFrame(tick);
}

async function start(): Promise<void> {
  // As a file of its own the page has no site around it.
  element('site').hidden = location.protocol === 'file:';
  await tf.setBackend('cpu');
  for (const id of ['data', 'rule', 'noise', 'steps']) {
    element(id).addEventListener('input', () => {
      restart();
      show();
    });
  }
  input('scrub').addEventListener('input', () => {
    play(false);
    position = Number(input('scrub').value);
    show();
  });
  element('play').addEventListener('click', () => {
    if (!playing && position >= 1) position = 0;
    play(!playing);
  });
  window.addEventListener('resize', show);
  restart();
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) {
    play(false);
    position = 1;
    show();
  }
  requestAnimationFrame(tick);
}

void start();
