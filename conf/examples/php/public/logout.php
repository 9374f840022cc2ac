<?php
declare(strict_types=1);
// Signing out ends the session, and with it the sockets that were opened in its name.
require __DIR__ . '/../lib/settings.php';
require __DIR__ . '/../lib/pollux.php';
require __DIR__ . '/../lib/session.php';

open_session();
require_csrf();
$tag = session_tag();
$_SESSION = [];
session_destroy();    // first: who is disconnected comes back at once, and must be refused
try {
    pollux_call('/disconnect', ['id' => "session:$tag"]);
} catch (RuntimeException $e) {
    error_log($e->getMessage());
}
header('Location: /', true, 303);
