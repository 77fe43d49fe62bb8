// The HTML around a page's script and its data.

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='16' cy='16' r='11' fill='none' stroke='%236f5cf0' stroke-width='6'/%3E%3C/svg%3E";

export function htmlDocument(title, head, body = []) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="${ICON}">
${head.join('\n')}
</head>
<body>
${body.join('\n')}
</body>
</html>
`;
}

/** For pages that a script draws. */
export const NO_SCRIPT = '<noscript>This page draws its charts with JavaScript.</noscript>';

export const inlineStyle = (style) => `<style>${style.replaceAll('</', '<\\/')}</style>`;
export const inlineScript = (script) => `<script>${script.replaceAll('</', '<\\/')}</script>`;

// For text inside HTML and SVG.
export function escapeHtml(text) {
  const names = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (mark) => names[mark]);
}
