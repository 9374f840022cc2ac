// What a client knows of who is on a topic, through phoenix.js's own Presence (its functions before
// 1.4, its class from then on), and what the server says.
import assert from 'node:assert/strict';

/** {key: [ref, ...]} of presences as the server or phoenix.js has them; refs sorted. */
export const refsOf = (presences) => Object.fromEntries(Object.entries(presences)
  .map(([key, { metas }]) => [key, metas.map((m) => m.phx_ref).sort()]).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Follows a channel. Before it is joined. {refs(), names(), joins, leaves, syncs}. */
export function follow(page, channel) {
  const { Presence } = page;
  const people = { joins: [], leaves: [], syncs: 0, states: 0, diffs: 0 };
  const onJoin = (key, current, meta) => people.joins.push({ key, before: current?.metas.length ?? 0, refs: meta.metas.map((m) => m.phx_ref) });
  const onLeave = (key, current, meta) => people.leaves.push({ key, left: current.metas.length, refs: meta.metas.map((m) => m.phx_ref) });
  channel.on('presence_state', () => { people.states++; });
  channel.on('presence_diff', () => { people.diffs++; });
  if (typeof Presence === 'function' && Presence.prototype?.list) {
    const presence = new Presence(channel);
    presence.onJoin(onJoin);
    presence.onLeave(onLeave);
    presence.onSync(() => { people.syncs++; });
    people.state = () => presence.state;
    people.list = (by) => presence.list(by);
  } else {
    let state = {};
    channel.on('presence_state', (s) => {
      state = Presence.syncState(state, s, onJoin, onLeave);
      people.syncs++;
    });
    channel.on('presence_diff', (d) => {
      state = Presence.syncDiff(state, d, onJoin, onLeave);
      people.syncs++;
    });
    people.state = () => state;
    people.list = (by) => Presence.list(state, by);
  }
  people.refs = () => refsOf(people.state());
  return people;
}

/** What the API says. */
export async function published(api, topic, count = false) {
  const r = await api.call('GET', `/presence?topic=${encodeURIComponent(topic)}${count ? '&count' : ''}`);
  assert.equal(r.status, 200, `presence of ${topic}: HTTP ${r.status} ${r.text}`);
  return r.json;
}
