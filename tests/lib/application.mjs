// An application whose answers can be held back.
import { HookApp } from './hook_app.mjs';
import { until } from './wait.mjs';

export class Application extends HookApp {
  held = [];

  /** From now on questions wait until release(). */
  hold() {
    this.decide = (question) => new Promise((resolve) => this.held.push({ question, resolve }));
  }

  /** Answers all that waits; from now on everything is answered at once. */
  release(decide) {
    this.decide = decide;
    for (const { question, resolve } of this.held.splice(0)) resolve(decide(question));
  }

  /** Waits until so many questions were asked since forget(). */
  count(n, ms = 20000) {
    return until(`${n} questions, not ${this.questions.length}`, () => this.questions.length >= n, ms);
  }

  forget() {
    this.questions.length = 0;
  }
}
