// XMLHttpRequest as far as phoenix.js uses it, with the order of events that the standard gives:
// on failure, time-out and abort readyState becomes 4 with an empty responseText before the
// specific event fires. One "page" shares at most six connections, as browsers do.
import http from 'node:http';

/** own: headers that the browser adds to this page's requests by itself, cookies for instance. */
export function xhrOfPage(own = {}) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 6 });
  const open = new Set();

  class XMLHttpRequest {
    constructor() {
      this.readyState = 0;
      this.status = 0;
      this.responseText = '';
      this.timeout = 0;
      this.headers = {};
    }

    open(method, url) {
      this.method = method;
      this.url = url;
      this.change(1);
    }

    setRequestHeader(name, value) {
      this.headers[name] = value;
    }

    change(state) {
      this.readyState = state;
      this.onreadystatechange?.({});
    }

    send(body) {
      open.add(this);
      const data = body === undefined || body === null ? undefined : Buffer.from(body);
      const headers = { ...this.headers, ...own };
      if (this.method !== 'GET') Object.assign(headers, { Origin: new URL(this.url).origin, 'Content-Length': data?.length ?? 0 });
      this.req = http.request(this.url, { method: this.method, headers, agent });
      this.req.on('response', (r) => this.receive(r));
      this.req.on('error', () => this.end('onerror'));
      if (this.timeout > 0) this.timer = setTimeout(() => this.end('ontimeout'), this.timeout);
      this.req.end(data);
    }

    receive(response) {
      this.status = response.statusCode;
      const parts = [];
      this.change(2);
      response.on('data', (d) => parts.push(d));
      response.on('error', () => this.end('onerror'));
      response.on('aborted', () => this.end('onerror'));
      response.on('end', () => {
        if (!response.complete) return this.end('onerror');
        this.responseText = Buffer.concat(parts).toString('utf8');
        return this.end('onload');
      });
    }

    end(event) {
      if (!open.delete(this)) return;
      clearTimeout(this.timer);
      if (event !== 'onload') {
        this.status = 0;
        this.responseText = '';
        this.req.destroy();
      }
      this.change(4);
      this[event]?.({});
      this.onloadend?.({});
    }

    abort() {
      this.end('onabort');
      this.readyState = 0;
    }
  }

  /** Ends the page: what is under way is dropped without events. */
  const close = () => {
    for (const x of open) {
      clearTimeout(x.timer);
      x.req.on('error', () => {});
      x.req.destroy();
    }
    open.clear();
    agent.destroy();
  };

  return { XMLHttpRequest, close };
}
