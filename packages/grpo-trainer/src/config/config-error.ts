/** A configuration that cannot run. Every line of the message names an option. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}
