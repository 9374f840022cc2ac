// lighttpd, nginx and Apache as a site would run them, unprivileged and in a temporary directory,
// with the ready-made snippets of conf/ (their addresses replaced by ours) or with plain CGI.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { request } from './http.mjs';
import { alive, descendants, signal } from './proc.mjs';
import { Program } from './servers.mjs';
import { freePort, ROOT, SLOW } from './stack.mjs';
import { until } from './wait.mjs';

const ROOTED = process.getuid() === 0;

/**
 * As root, nginx and Apache serve as nobody: lets that user into a system's directory, as a shared
 * group would on a real machine.
 */
export function letIn(stack) {
  if (ROOTED) execFileSync('chmod', ['-R', 'a+rwX', stack.dir]);
}

/** A snippet of conf/ with its addresses and mount replaced; where: {fcgi: {path}, ws: {port}}. */
export function snippet(file, where, { mount = '/relay' } = {}) {
  const text = fs.readFileSync(path.join(ROOT, 'conf', file), 'utf8');
  return text.replaceAll('/run/pollux/fcgi.sock', where.fcgi.path)
    .replaceAll('127.0.0.1:4100', `127.0.0.1:${where.ws.port}`)
    .replace(/("port"\s*=>\s*)4100/g, `$1${where.ws.port}`)
    .replaceAll('/socket', mount);
}

async function start(command, args, dir, port, probe) {
  const program = new Program(command, args);
  const url = `http://127.0.0.1:${port}`;
  try {
    await until(`${program.name} to answer`, async () => program.exit || (await request(url + probe).catch(() => null)), 8000 * SLOW);
    if (program.exit) throw new Error(`${program.name} ended: ${program.text}${logs(dir)}`);
  } catch (e) {
    await program.stop('SIGKILL').catch(() => {});
    throw new Error(`${e.message}\n${program.text}${logs(dir)}`);
  }
  return { url, port, pid: program.pid, logs: () => program.text + logs(dir), stop: () => program.stop('SIGTERM') };
}

const logs = (dir) => fs.readdirSync(dir).filter((f) => /log$/.test(f)).map((f) => `--- ${f}\n${fs.readFileSync(path.join(dir, f), 'utf8').slice(-3000)}`).join('\n');

export async function lighttpd(dir, text) {
  const port = await freePort();
  const file = path.join(dir, 'lighttpd.conf');
  fs.mkdirSync(path.join(dir, 'htdocs'), { recursive: true });
  fs.writeFileSync(file, `server.port = ${port}\nserver.bind = "127.0.0.1"\nserver.document-root = "${dir}/htdocs"\nserver.errorlog = "${dir}/error.log"\n${text}\n`);
  return start('/usr/sbin/lighttpd', ['-D', '-f', file], dir, port, '/');
}

export async function nginx(dir, { http = '', server }) {
  const port = await freePort();
  const file = path.join(dir, 'nginx.conf');
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((t) => `${t}_temp_path ${dir}/${t};`).join(' ');
  fs.copyFileSync('/etc/nginx/fastcgi_params', path.join(dir, 'fastcgi_params'));
  fs.writeFileSync(file, `${ROOTED ? 'user nobody nogroup; ' : ''}daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 512; }
http { access_log off; ${temps}
${http}
server { listen 127.0.0.1:${port};
${server}
} }\n`);
  return start('/usr/sbin/nginx', ['-c', file, '-p', dir, '-e', `${dir}/error.log`], dir, port, '/');
}

/** nginx with the ready-made snippet. */
export const nginxWithSnippet = (dir, where, options) =>
  nginx(dir, { http: snippet('nginx/pollux-upstream.conf', where, options), server: snippet('nginx/pollux.conf', where, options) });

const APACHE_MODULES = ['mpm_event', 'authz_core', 'mime', 'dir', 'alias', 'env', 'setenvif', 'headers', 'rewrite', 'proxy', 'proxy_fcgi', 'proxy_http', 'cgid'];

export async function apache(dir, text) {
  const port = await freePort();
  const file = path.join(dir, 'apache.conf');
  const load = APACHE_MODULES.map((m) => `LoadModule ${m}_module /usr/lib/apache2/modules/mod_${m}.so`).join('\n');
  fs.mkdirSync(path.join(dir, 'htdocs'), { recursive: true });
  fs.writeFileSync(file, `ServerRoot "${dir}"\nServerName 127.0.0.1\nListen 127.0.0.1:${port}\nPidFile ${dir}/httpd.pid\nErrorLog ${dir}/error.log\n${ROOTED ? 'User nobody\nGroup nogroup\n' : ''}DefaultRuntimeDir ${dir}
${load}\nTypesConfig /etc/mime.types\nDocumentRoot "${dir}/htdocs"\nScriptSock ${dir}/cgid.sock
StartServers 1\nThreadsPerChild 32\nMaxRequestWorkers 64\nMinSpareThreads 8\nMaxSpareThreads 64\n<Directory "${dir}">\nRequire all granted\n</Directory>\n${text}\n`);
  const server = await start('/usr/sbin/apache2', ['-X', '-f', file], dir, port, '/');
  return { ...server, stop: () => stopApache(server) };
}

/**
 * mod_cgid's daemon looks at its flag and then waits in accept(): a SIGTERM between the two is lost.
 * Apache's parent would repeat it; with -X there is none, so we do.
 */
async function stopApache(server) {
  const below = descendants(server.pid);
  const again = setInterval(() => {
    for (const p of below) if (alive(p)) signal(p.pid, 'SIGTERM');
  }, 250);
  try {
    return await server.stop();
  } finally {
    clearInterval(again);
  }
}
