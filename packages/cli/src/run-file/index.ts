/** Run files: their schema, and how one is read. */
export { resolveRunFile, runFileJsonSchema, runFileSchema } from './schema';
export {
  type Showo2SetupInput,
  type Showo2SetupOptions,
  showo2SetupSchema,
  type ZImageSetupInput,
  type ZImageSetupOptions,
  zImageSetupSchema,
} from './setup-schema';
