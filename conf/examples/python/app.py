#!/usr/bin/env python3
"""A note that several people see and some may write. The standard library only.

Pollux asks nobody: what a visitor may do is signed into a ticket, which the page sends when it
connects. sign() is all that it takes; the rest is an ordinary site with a login.
"""
import base64
import hmac
import html
import json
import os
import sys
import time
from http.cookies import SimpleCookie
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIServer, make_server

TICKET_KEY = os.environ.get("POLLUX_TICKET_KEY", "only-for-trying-the-python-example")
COOKIE_KEY = os.environ.get("COOKIE_KEY", "only-for-trying-this-site's-own-cookies")
TICKET_S = 300
LOGIN_S = 8 * 3600

# name: (password, may write). A real site keeps hashes of passwords, in a database.
PEOPLE = {"anna": ("anna", True), "ben": ("ben", False)}
TOPIC = "note:garden"


def sign(key, claims):
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    return body + "." + hmac.new(key.encode(), body.encode(), "sha256").hexdigest()


def unsign(key, text):
    """What was signed, or None when it was not, or when its time is over."""
    body, _, mac = text.partition(".")
    if not hmac.compare_digest(mac.encode(), hmac.new(key.encode(), body.encode(), "sha256").hexdigest().encode()):
        return None
    claims = json.loads(base64.urlsafe_b64decode(body))
    return claims if claims["exp"] > time.time() else None


def ticket(name):
    """What `name` may do, for the next minutes."""
    may_write = PEOPLE[name][1]
    return sign(TICKET_KEY, {
        "exp": int(time.time()) + TICKET_S,
        "name": name,                               # the application's own: {claims.name}
        "join": [TOPIC],                            # these topics, and patterns such as "note:*"
        "push": [TOPIC] if may_write else [],
    })


# ---- the site ----

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>A note for the garden</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/style.css">
  {script}
</head>
<body>
{body}
</body>
</html>
"""

LOGIN = """<header><h1>A note for the garden</h1></header>
<form class="card stack" method="post" action="/login">
  <label for="name">Name</label>
  <input id="name" name="name" autocomplete="username" required autofocus>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required>
  <p class="error" role="alert">{error}</p>
  <button>Sign in</button>
  <p class="hint">For trying: anna (password anna) writes, ben (password ben) reads.</p>
</form>"""

NOTE = """<header>
  <h1><label for="text">A note for the garden</label></h1>
  <p id="status" role="status" data-state="busy">Connecting…</p>
</header>
<main class="card" data-topic="{topic}" data-ticket="{ticket}">
  <textarea id="text" maxlength="4000" placeholder="{placeholder}" {readonly}></textarea>
  <form method="post" action="/logout"><button class="quiet">Sign out {name}</button></form>
</main>
<p class="hint">Open this page a second time, in another browser, as somebody else.</p>"""


def page(start, status, body, script="", headers=()):
    policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ws: wss:; " \
             "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    start(status, [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"),
                   ("Content-Security-Policy", policy), *headers])
    return [PAGE.format(body=body, script=script).encode()]


def redirect(start, cookie, age):
    value = f"login={cookie}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax"
    start("303 See Other", [("Location", "/"), ("Set-Cookie", value)])
    return []


def visitor(environ):
    """The name of whoever has signed in, else None."""
    cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("login")
    claims = cookie and unsign(COOKIE_KEY, cookie.value)
    return claims["name"] if claims and claims["name"] in PEOPLE else None


def login(environ, start):
    size = min(int(environ.get("CONTENT_LENGTH") or 0), 10000)
    form = parse_qs(environ["wsgi.input"].read(size).decode("utf-8", "replace"))
    name, password = form.get("name", [""])[0], form.get("password", [""])[0]
    if name in PEOPLE and hmac.compare_digest(password.encode(), PEOPLE[name][0].encode()):
        return redirect(start, sign(COOKIE_KEY, {"name": name, "exp": time.time() + LOGIN_S}), LOGIN_S)
    return page(start, "403 Forbidden", LOGIN.format(error="That name and that password do not belong together."))


def note(name, start):
    body = NOTE.format(
        topic=TOPIC, ticket=ticket(name), name=html.escape(name),
        placeholder="Write something." if PEOPLE[name][1] else "Nothing yet.",
        readonly="" if PEOPLE[name][1] else "readonly")
    return page(start, "200 OK", body, '<script type="module" src="/note.js"></script>')


def fresh_ticket(name, start):
    """For pages that stay open for longer than their ticket."""
    start("200 OK" if name else "401 Unauthorized", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps({"ticket": ticket(name)} if name else {"error": "not signed in"}).encode()]


def app(environ, start):
    """The WSGI application: for wsgiref below, or for gunicorn, uWSGI, mod_wsgi."""
    route, name = environ["REQUEST_METHOD"] + " " + environ["PATH_INFO"], visitor(environ)
    if route == "POST /login":
        return login(environ, start)
    if route == "POST /logout":
        return redirect(start, "", 0)
    if route == "GET /ticket":
        return fresh_ticket(name, start)
    if route == "GET /":
        return note(name, start) if name else page(start, "200 OK", LOGIN.format(error=""))
    return page(start, "404 Not Found", "<h1>There is no such page</h1>")


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8001").split(":")
    make_server(host, int(port), app, Server).serve_forever()
