import { type Options } from 'tsup';
/** The build of every package: ES modules, declarations and source maps from the given entries. */
export declare const library: (entry: string[] | Record<string, string>, more?: Options) => Options[] | Options | ((overrideOptions: Options) => Options[] | Options | Promise<Options[] | Options>);
//# sourceMappingURL=tsup.base.d.ts.map