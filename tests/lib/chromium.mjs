// The browser of the tests that look at pages.
import fs from 'node:fs';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((f) => fs.existsSync(f));

/** Why browser tests are skipped: on a machine of one's own they may be, in CI it has to be there. */
export const NO_CHROMIUM = CHROMIUM || process.env.CI ? false : 'Chromium is not installed';

/** A Chromium of playwright's; the caller closes it. */
export async function launch() {
  const { chromium } = await import('playwright-core');
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
}
