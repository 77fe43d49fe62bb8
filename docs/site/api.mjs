// The API reference: one Markdown page a package, from its doc comments.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Application, LogLevel } from 'typedoc';

const packages = fileURLToPath(new URL('../../packages/', import.meta.url));

/** Writes the pages into `folder`; throws when TypeDoc reports an error. */
export async function writeApi(folder) {
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    name: 'API reference',
    outputs: [{ name: 'markdown', path: folder }],
    entryPointStrategy: 'packages',
    entryPoints: readdirSync(packages).map((name) => packages + name),
    // Types are checked by `npm run typecheck`.
    packageOptions: {
      entryPoints: ['src/index.ts'],
      readme: 'none',
      excludeInternal: true,
      skipErrorChecking: true,
      groupOrder: ['Functions', 'Classes', 'Variables', 'Interfaces', 'Type Aliases', '*'],
      sort: ['kind', 'alphabetical'],
      kindSortOrder: ['Function', 'Class', 'Variable', 'Interface', 'TypeAlias'],
    },
    readme: 'none',
    router: 'module',
    entryFileName: 'index',
    hidePageHeader: true,
    hideBreadcrumbs: true,
    disableSources: true,
    // The headings' own anchors differ where a member and a type share a name.
    useHTMLAnchors: true,
    useCodeBlocks: true,
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    expandParameters: true,
    validation: { invalidLink: true, notExported: false },
    logLevel: 'Error',
  });
  const project = await app.convert();
  if (!project || app.logger.hasErrors()) throw new Error('the API reference could not be made (see above)');
  app.logger.level = LogLevel.Warn;
  app.logger.resetWarnings();
  app.validate(project);
  if (app.logger.validationWarningCount > 0) throw new Error('doc comments link to nothing (see above)');
  await app.generateOutputs(project);
  if (app.logger.hasErrors()) throw new Error('the API reference could not be written (see above)');
}
