/** A reward that a person gives: questions, answers, and what they are worth. */
export { type AnswerRecord, readAnswers } from './answers';
export { type HumanQuestion, humanQuestion, type Person } from './human-reward';
export { type Judgement, rewardsOfJudgement } from './judgement';
