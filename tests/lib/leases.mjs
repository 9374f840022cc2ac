// The leases that Redis knows, watched from outside: to tell how long after a lease's end what it held
// was still there. Times are Redis' own, which is this machine's.
import path from 'node:path';
import { redisCommand } from './resp.mjs';

// WebSocket workers by their deadline; sessions by theirs.
const LOOK = `local out = {}
local owners = redis.call('ZRANGE', 'plx:{owners}', 0, -1, 'WITHSCORES')
for i = 1, #owners, 2 do out[#out + 1] = owners[i] .. ' ' .. owners[i + 1] end
for _, key in ipairs(redis.call('KEYS', 'plx:{s:*}')) do
  if redis.call('HEXISTS', key, 'until') == 1 and redis.call('HEXISTS', key, 'ended') == 0 then
    out[#out + 1] = key .. ' ' .. redis.call('HGET', key, 'until')
  end
end
return table.concat(out, '\\n')`;

export class Leases {
  constructor(stack) {
    this.where = { path: path.join(stack.state, 'run/redis.sock') };
    this.deadlines = new Map();
    this.ended = 0; // the latest deadline of one that is over
  }

  async look() {
    const text = await redisCommand(this.where, 'EVAL', LOOK, '0');
    const now = new Map([...text.matchAll(/^(\S+) (\d+)\r?$/gm)].map(([, name, at]) => [name, Number(at)]));
    for (const [name, at] of this.deadlines) if (!now.has(name)) this.ended = Math.max(this.ended, at);
    this.deadlines = now;
  }
}
