<?php
declare(strict_types=1);
// Whether the visitor is still signed in, for a page whose socket is refused: 204 or 401.
require __DIR__ . '/../lib/session.php';

session_start(['read_and_close' => true] + SESSION);
http_response_code(isset($_SESSION['name']) ? 204 : 401);
