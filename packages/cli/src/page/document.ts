/** The page's HTML, around its script and its data. */
import {
  escapeHtml,
  htmlDocument,
  inlineScript,
  inlineStyle,
  NO_SCRIPT,
} from '@flow-grpo/page-components/document';
import type { PageAssets } from './assets';
import { FROZEN_RUNS, type RunData } from './run-data';

/** A page of scripts and style sheets in files of their own, in the order given. */
export function pageOfFiles(title: string, style: string, scripts: readonly string[]): string {
  return htmlDocument(
    title,
    [
      `<link rel="stylesheet" href="${style}">`,
      ...scripts.map((address) => `<script defer src="${escapeHtml(address)}"></script>`),
    ],
    [NO_SCRIPT],
  );
}

/** A page that needs no other file. */
export function pageInOne(title: string, { script, style }: PageAssets, runs: readonly RunData[]): string {
  return htmlDocument(
    title,
    [inlineStyle(style)],
    [NO_SCRIPT, inlineScript(runs.map(runScript).join('\n')), inlineScript(script)],
  );
}

/** A script that puts a run on the page. Text is parsed as JSON, which is several times faster than as a script. */
export function runScript(run: RunData): string {
  return `(globalThis.${FROZEN_RUNS} ??= []).push(JSON.parse(${JSON.stringify(JSON.stringify(run))}));\n`;
}
