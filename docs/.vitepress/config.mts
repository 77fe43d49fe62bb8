import { katex } from '@mdit/plugin-katex';
import { defineConfig } from 'vitepress';
import { apiLink, packageNames } from '../site/packages';
import { hasTuned } from '../try-it/build.mjs';

/** The page that shows a file or folder of the repository, from any document's point of view. */
function pageOf(link: string): string {
  const [, name] = /^(?:\.\.\/)+(?:packages\/)?([a-z0-9-]+)\/?$/.exec(link) ?? [];
  if (name && packageNames.includes(name)) return `/packages/${name}`;
  return link === '../FEATURES.md' ? '/features' : link;
}

/** A ring of noise and data in the colours of the pictures. */
const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><linearGradient id="g"><stop stop-color="#6f5cf0"/>' +
  '<stop offset="1" stop-color="#e0912d"/></linearGradient>' +
  '<circle cx="16" cy="16" r="11" fill="none" stroke="url(#g)" stroke-width="6"/></svg>';

export default defineConfig({
  lang: 'en',
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(icon)}` }]],
  title: 'Flow-GRPO',
  description: 'Reinforcement learning for flow-matching image models, in TypeScript',
  base: process.env.DOCS_BASE ?? '/',
  cleanUrls: true,
  srcExclude: ['sampler-demo/**', 'paint-a-reward/**', 'try-it/**', 'generated/**'],
  markdown: {
    // The default themes' comments are too faint to read.
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config: (md) => {
      // On GitHub a document links to files of the repository; here some of them are pages.
      md.core.ruler.push('pages for files', ({ tokens }) => {
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === 'link_open' && token.attrGet('href');
          if (href) token.attrSet('href', pageOf(href));
        }
        // What scrolls on a narrow screen can be reached by keys; the theme sees to blocks with a language.
        for (const token of tokens) if (token.type === 'code_block') token.attrSet('tabindex', '0');
      });
      md.use(katex, {
        throwOnError: true,
        // Vue must not look for components and braces in formulas.
        transformer: (html: string) => html.replace(/^<\w+/, '$& v-pre'),
      });
    },
  },
  // A package's reference is one page, and the search index holds them all.
  vite: { build: { chunkSizeWarningLimit: 4000 } },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    footer: { message: 'MIT licence' },
    nav: [
      { text: 'Guide', link: '/getting-started' },
      { text: 'Packages', link: '/packages/' },
      { text: 'API', link: '/api/' },
      { text: 'Demo', link: '/sampler-demo/index.html', target: '_self' },
      { text: 'Paint a reward', link: '/paint-a-reward/index.html', target: '_self' },
      ...(hasTuned() ? [{ text: 'Try it', link: '/try-it/index.html', target: '_self' }] : []),
    ],
    sidebar: [
      {
        text: 'Guide',
        items: [
          { text: 'Getting started', link: '/getting-started' },
          { text: 'First hour with Show-o2', link: '/first-hour' },
          { text: 'The mathematics', link: '/maths' },
          { text: 'The recipe', link: '/recipe' },
          { text: 'Several machines', link: '/several-machines' },
          {
            text: 'Choose an algorithm',
            link: '/choosing-an-algorithm',
            items: [
              { text: 'Policy gradients', link: '/policy-gradient' },
              { text: 'Forward process', link: '/forward-process' },
              { text: 'Preference', link: '/preference' },
              { text: 'Supervised', link: '/supervised' },
            ],
          },
          { text: 'Adapters', link: '/adapters' },
          { text: 'Your own algorithm', link: '/algorithms' },
          { text: 'A model from scratch', link: '/your-own-model' },
          { text: 'Your own model', link: '/adding-a-model' },
          { text: 'Watch a run', link: '/run-page' },
          { text: 'A reward server', link: '/reward-server' },
          { text: 'A Keras-style model on XLA', link: '/keras-style-models' },
          { text: 'Coming from Python', link: '/porting' },
          { text: 'TypeScript notes', link: '/typescript' },
          { text: 'macOS', link: '/macos' },
          { text: 'Troubleshooting', link: '/troubleshooting' },
          { text: 'FAQ', link: '/faq' },
          { text: 'Glossary', link: '/glossary' },
          { text: 'Measurements', link: '/measurements' },
          { text: 'Other frameworks', link: '/other-frameworks' },
          { text: 'Architecture', link: '/architecture' },
          { text: 'What is supported', link: '/features' },
        ],
      },
      {
        text: 'Packages',
        link: '/packages/',
        items: packageNames.map((name) => ({ text: name, link: `/packages/${name}` })),
      },
      {
        text: 'API reference',
        link: '/api/',
        collapsed: true,
        items: packageNames.map((name) => ({ text: name, link: apiLink(name) })),
      },
    ],
  },
});
