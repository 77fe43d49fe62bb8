/** `node dist/main.js [BACKEND]`: cpu (default), wasm, tensorflow or xla. */
import { useBackend } from 'flow-grpo';
import { diffusersPolicy } from './diffusers-model';
import { colourPolicy } from './model';
import { pretrained, tune } from './train';

await useBackend(process.argv[2] ?? 'cpu');
const weights = await pretrained(400);
for (const [name, policyOf] of Object.entries({
  'own convention': colourPolicy,
  diffusers: diffusersPolicy,
})) {
  const { rewards } = await tune(policyOf(weights), 20);
  console.log(`${name}: brightness ${rewards[0]!.toFixed(3)} → ${rewards.at(-1)!.toFixed(3)}`);
}
