/** Where the page's runs come from: scripts that stand before it, or the server of a run under way. */

import type { FrozenWindow, LiveData, QuestionsData, RunData } from '../run-data';
import { latest } from './latest';
import { markOf } from './mark';
import { merged } from './merge';

export interface PageState {
  readonly runs: readonly RunData[];
  /** What the run is doing, in its own words. */
  readonly status: string;
  /** `frozen` pages never change; `ended` ones do not any more. */
  /** What waits for a person, where one is part of the reward. */
  readonly questions?: QuestionsData | undefined;
  readonly phase: 'frozen' | 'connecting' | 'live' | 'lost' | 'ended';
}

export interface Source {
  current(): PageState;
  /** Calls back after each change. */
  subscribe(listener: () => void): void;
  /** Sends a judgement of a question; rejects with the server's words where it is not taken. */
  answer?(key: string, judgement: unknown): Promise<void>;
}

/** The runs of a page that was written to a file; undefined for a live one. */
export function frozenSource(): Source | undefined {
  const runs = (globalThis as FrozenWindow).flowGrpoRuns;
  return runs && { current: () => ({ runs, status: '', phase: 'frozen' }), subscribe: () => {} };
}

/** Follows a run by server-sent events; loads what is new whenever there is something. */
export function liveSource(): Source {
  let state: PageState = { runs: [], status: '', phase: 'connecting' };
  const listeners: (() => void)[] = [];
  const change = (part: Partial<PageState>) => {
    state = { ...state, ...part };
    for (const listener of listeners) listener();
  };
  const load = latest(async () => {
    if (state.phase === 'ended') return;
    try {
      const query = state.runs.map((run) => `have=${encodeURIComponent(markOf(run) ?? '')}`).join('&');
      const response = await fetch(`data?${query}`);
      if (!response.ok) return change({ status: await response.text() });
      const news = (await response.json()) as LiveData;
      // The end may have brought newer ones.
      if ((state as PageState).phase !== 'ended')
        change({ runs: news.runs.map((run, i) => merged(state.runs[i], run)) });
    } catch {
      // The connection is gone; onerror says so, and onopen loads again.
    }
  });
  const events = new EventSource('events');
  events.onopen = () => {
    change({ phase: 'live' });
    void load();
  };
  events.onerror = () => change({ phase: 'lost', status: 'No connection to the run; trying again …' });
  events.addEventListener('status', (event) => change({ status: JSON.parse(event.data) as string }));
  events.addEventListener('changed', () => void load());
  const loadQuestions = latest(async () => {
    const response = await fetch('questions').catch(() => undefined);
    if (response?.ok) change({ questions: (await response.json()) as QuestionsData });
  });
  events.addEventListener('questions', () => void loadQuestions());
  events.addEventListener('end', (event) => {
    const { text, data } = JSON.parse(event.data) as { text: string; data?: LiveData };
    change({ phase: 'ended', status: text, questions: undefined, ...(data && { runs: data.runs }) });
    // The server waits for the last images as long as this connection is open.
    void imagesLoaded().then(() => events.close());
  });
  return {
    current: () => state,
    subscribe: (listener) => void listeners.push(listener),
    async answer(key, judgement) {
      const response = await fetch('answers', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ key, judgement }),
      });
      await loadQuestions();
      // Somebody else's page may have been faster.
      if (!response.ok && response.status !== 410) throw new Error(await response.text());
    },
  };
}

/** Settles when the images on the page are there, or cannot be had. */
async function imagesLoaded(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve)); // drawn first
  const images = Array.from(document.images).filter(({ complete }) => !complete);
  await Promise.all(
    images.map(
      (image) =>
        new Promise((resolve) => {
          image.addEventListener('load', resolve);
          image.addEventListener('error', resolve);
        }),
    ),
  );
}
