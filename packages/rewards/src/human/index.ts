/** Rewards given by a person: questions, answers, and the rewards that they mean. */
export { type AnswerRecord, appendAnswers, readAnswers } from './answers';
export { type HumanQuestion, humanQuestion, type Person } from './human-reward';
export { type Judgement, rewardsOfJudgement } from './judgement';
