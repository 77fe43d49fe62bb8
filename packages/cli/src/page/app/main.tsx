/** The page of one or more runs, live or frozen. */
import '@flow-grpo/page-components/style.css';
import { render } from 'preact';
import './style.css';
import { App } from './app';
import { frozenSource, liveSource } from './source';

render(<App source={frozenSource() ?? liveSource()} />, document.body);
