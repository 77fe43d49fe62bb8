/** A reward that a person gives: questions, answers, and what they are worth. */
export { type AnswerRecord, readAnswers } from './answers';
export { type Person, type Question, questionOf } from './human-reward';
export { type Judgement, rewardsOf } from './judgement';
