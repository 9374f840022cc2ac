<?php
declare(strict_types=1);
// The visitor's session: PHP's own, nothing special.

const SESSION = ['cookie_httponly' => true, 'cookie_samesite' => 'Lax', 'use_strict_mode' => true];

/** The session of this request, with a value that its pages must know to do something in its name. */
function open_session(): void
{
    session_start(SESSION);
    $_SESSION['csrf'] ??= bin2hex(random_bytes(16));
    setcookie('csrf', $_SESSION['csrf'], ['path' => '/', 'httponly' => true, 'samesite' => 'Lax']);
}

/** The session that a Cookie header names, read only; empty when there is none. For Pollux's questions. */
function session_in(string $cookies): array
{
    if (!preg_match('/(?:^|;\s*)' . session_name() . '=([A-Za-z0-9,-]{22,256})(?:;|$)/D', $cookies, $m)) {
        return [];
    }
    session_id($m[1]);
    session_start(['use_cookies' => false, 'read_and_close' => true] + SESSION);
    return session_id() === $m[1] ? $_SESSION : [];    // another id: that one was unknown
}

/** The session's name towards Pollux: not the id itself, which is a key. */
function session_tag(): string
{
    return hash('sha256', 'pollux ' . session_id());
}

/** Ends the request unless its form was made by a page of this session. */
function require_csrf(): void
{
    if (!hash_equals($_SESSION['csrf'], (string) ($_POST['csrf'] ?? ''))) {
        http_response_code(403);
        exit("This form is too old, or not from this site. Please go back and load the page again.\n");
    }
}

function h(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}
