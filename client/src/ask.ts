import { socketUrl } from './arguments.js';
import { deadline } from './deadline.js';
import { ASK_LIMIT } from './limits.js';

/** What an application answers anew for each connection. */
export type Source<T> = () => T | Promise<T>;

/** Throws an error that names what was asked for. */
const ask = <T>(what: string, source: Source<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const fail = (why: unknown): void => reject(new Error(`${what}: ${why}`));
    // FAQ: client-no-answer
    const cancel = deadline(ASK_LIMIT, () => fail(`no answer within ${ASK_LIMIT / 1000} s`));
    Promise.resolve().then(source).then(resolve, fail).finally(cancel);
  });

export const askUrl = (source: Source<string | URL>): Promise<string> =>
  ask('url', async () => socketUrl(await source()));

export const askAuth = (source: Source<string>): Promise<string> =>
  ask('auth', async () => {
    const token: unknown = await source();
    // FAQ: client-no-string
    if (typeof token !== 'string') throw new TypeError(`${token} is no string`);
    return token;
  });
