/** The page of one or more runs, live or frozen. */
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './style.css';
import { App } from './app';
import { frozenSource, liveSource } from './source';

render(<App source={frozenSource() ?? liveSource()} />, document.body);
