/** The page of scores. */
import '@flow-grpo/page-components/style.css';
import { render } from 'preact';
import './style.css';
import { App } from './app';
import type { ScoresWindow } from './scores-data';

render(<App data={(globalThis as ScoresWindow).flowGrpoScores!} />, document.body);
