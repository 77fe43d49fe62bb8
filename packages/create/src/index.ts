/** The files of a project that trains, from a few choices: what `npm create @flow-grpo` and `flow-grpo init` write. */
export { type Answers, askChoices, CancelledError, type Question } from './ask';
export { type Choices, choiceProblem, SETUPS, type SetupKind } from './choices';
export { type ProjectFiles, type ProjectOptions, projectFiles, userFiles } from './project-files';
export { shellWord } from './shell-word';
export { writeProject } from './write-project';
