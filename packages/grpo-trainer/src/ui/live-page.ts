/** The page of a run under way. */
import { htmlPage } from '../report/html';

/** Runs in the browser: shows status lines, and loads the report again when there is something new. */
const SCRIPT = `
const main = document.querySelector('main');
const status = document.querySelector('#status');
let loads = 0;
async function load() {
  const asked = ++loads;
  const response = await fetch('report');
  const text = await response.text();
  if (asked !== loads) return; // a later one is on its way
  if (response.ok) main.innerHTML = text || '<p>No epoch yet.</p>';
  else status.textContent = text;
}
const events = new EventSource('events');
events.onopen = load;
events.onerror = () => { status.textContent = 'No connection to the run; trying again …'; };
events.addEventListener('status', (event) => { status.textContent = JSON.parse(event.data); });
events.addEventListener('changed', load);
events.addEventListener('end', (event) => {
  events.close();
  loads++; // what is under way is older
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
