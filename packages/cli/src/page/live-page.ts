/** The page of a run under way. */
import { htmlPage } from '../report/html';

/** Runs in the browser: shows status lines, and loads the report again when there is something new. */
const SCRIPT = `
const main = document.querySelector('main');
const status = document.querySelector('#status');
let loading = false;
let stale = false; // something came while loading: once more, not once for each
let over = false;
async function load() {
  stale = true;
  if (loading) return;
  loading = true;
  try {
    while (stale && !over) {
      stale = false;
      const response = await fetch('report');
      const text = await response.text();
      if (over) return; // the end brought a newer one
      if (response.ok) main.innerHTML = text || '<p>No epoch yet.</p>';
      else status.textContent = text;
    }
  } catch {
    // The connection is gone; onerror says so, and onopen loads again.
  } finally {
    loading = false;
  }
}
const events = new EventSource('events');
events.onopen = load;
events.onerror = () => { status.textContent = 'No connection to the run; trying again …'; };
events.addEventListener('status', (event) => { status.textContent = JSON.parse(event.data); });
events.addEventListener('changed', load);
events.addEventListener('end', (event) => {
  events.close();
  over = true;
  const { text, html } = JSON.parse(event.data);
  status.textContent = text;
  if (html) main.innerHTML = html;
});
`;

const STYLE =
  'position: sticky; top: 0; background: white; padding: .5rem 0; border-bottom: 1px solid #ddd; font-family: ui-monospace, monospace; font-size: 13px;';

/** One page with all it needs. */
export function livePage(): string {
  return htmlPage(
    'Flow-GRPO run',
    `<p id="status" style="${STYLE}" role="status"></p>\n<main></main>\n<script>${SCRIPT}</script>`,
  );
}
