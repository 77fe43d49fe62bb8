/** The page's HTML, around its script and its data. */
import { escapeXml } from '../report/chart';
import { htmlDocument } from '../report/html';
import type { PageAssets } from './assets';
import { FROZEN_RUNS, type RunData } from './run-data';

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='16' cy='16' r='11' fill='none' stroke='%236f5cf0' stroke-width='6'/%3E%3C/svg%3E";

/** A page of scripts and style sheets in files of their own, in the order given. */
export function pageOfFiles(title: string, style: string, scripts: readonly string[]): string {
  return page(title, [
    `<link rel="stylesheet" href="${style}">`,
    ...scripts.map((address) => `<script defer src="${escapeXml(address)}"></script>`),
  ]);
}

/** A page that needs no other file. */
export function pageInOne(title: string, { script, style }: PageAssets, runs: readonly RunData[]): string {
  const inline = (text: string) => text.replaceAll('</', '<\\/');
  return page(
    title,
    [`<style>${style.replaceAll('</', '<\\/')}</style>`],
    [`<script>${inline(runs.map(runScript).join('\n'))}</script>`, `<script>${inline(script)}</script>`],
  );
}

/** A script that puts a run on the page. Text is parsed as JSON, which is several times faster than as a script. */
export function runScript(run: RunData): string {
  return `(globalThis.${FROZEN_RUNS} ??= []).push(JSON.parse(${JSON.stringify(JSON.stringify(run))}));\n`;
}

function page(title: string, head: readonly string[], body: readonly string[] = []): string {
  return htmlDocument(
    title,
    [`<link rel="icon" href="${ICON}">`, ...head],
    ['<noscript>This page draws its charts with JavaScript.</noscript>', ...(body.length > 0 ? body : [''])].join('\n'),
  );
}
