// What the kernel says about processes: children, CPU time, listening sockets. Everything is read
// from /proc, so that the tests depend on no other tool and on no knowledge of how the programs
// arrange themselves.
import fs from 'node:fs';
import { until } from './wait.mjs';

const read = (path) => {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return null; // the process ended meanwhile
  }
};

/** {ppid, state, ticks (utime + stime), start} of a process, or null when there is none. */
export function stat(pid) {
  const text = read(`/proc/${pid}/stat`);
  if (text === null) return null;
  const f = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: f[0], ppid: Number(f[1]), ticks: Number(f[11]) + Number(f[12]), start: f[19] };
}

const everyPid = () =>
  fs.readdirSync('/proc').filter((n) => /^\d+$/.test(n)).map(Number);

/** Living (not zombie) children of `pid`. */
export const children = (pid) =>
  everyPid().filter((p) => {
    const s = stat(p);
    return s !== null && s.ppid === pid && s.state !== 'Z';
  });

/** All living descendants of `pid`, as {pid, start}: the pair survives reuse of pids. */
export function descendants(pid) {
  const found = [];
  for (const child of children(pid)) {
    const s = stat(child);
    if (s) found.push({ pid: child, start: s.start }, ...descendants(child));
  }
  return found;
}

export function alive({ pid, start }) {
  const s = stat(pid);
  return s !== null && s.start === start && s.state !== 'Z';
}

/** Sends a signal to a process that may have ended by now. */
export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (e) {
    if (e.code !== 'ESRCH') throw e;
  }
}

/** Kills a process and waits for its end: its connections have ended, too. */
export async function kill(pid) {
  const start = stat(pid)?.start;
  signal(pid, 'SIGKILL');
  await until(`process ${pid} to end`, () => !alive({ pid, start }));
}

export const cmdline = (pid) => (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();

/** Processes (not this one) whose command line mentions `text`. */
export const mentioning = (text) =>
  everyPid().filter((p) => p !== process.pid && stat(p)?.state !== 'Z' && cmdline(p).includes(text));

/** CPU time used so far, in milliseconds. */
export const cpuMs = (pid) => (stat(pid)?.ticks ?? 0) * 10;

export const openFiles = (pid) => {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
};

/** Resident memory in bytes. */
export const rssBytes = (pid) =>
  Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`) ?? '')?.[1] ?? 0) * 1024;

function socketInodes(pid) {
  const inodes = new Set();
  try {
    for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) {
      const m = /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
      if (m) inodes.add(m[1]);
    }
  } catch {
    // a descriptor or the process went away while we looked
  }
  return inodes;
}

/** Where a process listens: [{port}] for TCP, [{path}] for Unix sockets. */
export function listeners(pid) {
  const mine = socketInodes(pid);
  const found = [];
  for (const line of (read(`/proc/${pid}/net/tcp`) ?? '').split('\n').slice(1)) {
    const f = line.trim().split(/\s+/);
    if (f[3] === '0A' && mine.has(f[9])) found.push({ port: parseInt(f[1].split(':')[1], 16) });
  }
  for (const line of (read(`/proc/${pid}/net/unix`) ?? '').split('\n').slice(1)) {
    const f = line.trim().split(/\s+/);
    // flags 00010000 is SO_ACCEPTCON
    if (f[3] === '00010000' && mine.has(f[6]) && f[7]) found.push({ path: f[7] });
  }
  return found;
}
