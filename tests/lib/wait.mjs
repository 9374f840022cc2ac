// Waiting for what must happen, with a limit and a word on what was awaited. The limits that tests give
// are what a machine with other work needs at most; GRACE_MS is for one that stood still meanwhile. What
// has to happen in time is measured and asserted where it is tested, not here.
const GRACE_MS = 10000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `probe` until it returns something truthy; throws after `ms` and the grace. Returns that value. */
export async function until(what, probe, ms = 20000, every = 20) {
  const end = Date.now() + ms + GRACE_MS;
  for (;;) {
    const last = Date.now() > end;
    const value = await probe();
    if (value) return value;
    if (last) throw new Error(`waited ${ms + GRACE_MS} ms in vain: ${what}`);
    await sleep(every);
  }
}

/** `promise`, or an error that says what took longer than `ms` and the grace. */
export function within(what, ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms + GRACE_MS} ms`)), ms + GRACE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
