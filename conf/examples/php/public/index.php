<?php
declare(strict_types=1);
// The site: a login, then the chat.
require __DIR__ . '/../lib/people.php';
require __DIR__ . '/../lib/session.php';

open_session();
$error = '';

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    require_csrf();
    $name = (string) ($_POST['name'] ?? '');
    if (password_is_right($name, (string) ($_POST['password'] ?? ''))) {
        session_regenerate_id(true);
        $_SESSION['name'] = $name;
        header('Location: /', true, 303);
        exit;
    }
    http_response_code(403);
    $error = 'That name and that password do not belong together.';
}

$name = $_SESSION['name'] ?? null;
$rooms = $name === null ? [] : rooms_of($name);
$room = in_array($_GET['room'] ?? '', $rooms, true) ? $_GET['room'] : ($rooms[0] ?? '');
$csrf = h($_SESSION['csrf']);
header('Cache-Control: no-store');
header("Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    . "connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Chat</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/style.css">
<?php if ($name !== null): ?>
  <script type="module" src="/chat.js"></script>
<?php endif ?>
</head>
<body>
<?php if ($name === null): ?>
<header><h1>Chat</h1></header>
<form class="card stack" method="post">
  <label for="name">Name</label>
  <input id="name" name="name" autocomplete="username" required autofocus>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required>
  <input type="hidden" name="csrf" value="<?= $csrf ?>">
  <p class="error" role="alert"><?= h($error) ?></p>
  <button>Sign in</button>
  <p class="hint">For trying: anna, ben or cleo; each name is its password, and not all may enter each room.</p>
</form>
<?php else: ?>
<header>
  <h1><?= h(ROOMS[$room]) ?></h1>
  <p id="status" role="status" data-state="busy">Connecting…</p>
</header>
<nav aria-label="Rooms">
<?php foreach (ROOMS as $id => $title): ?>
  <a href="/?room=<?= $id ?>"<?= $id === $room ? ' aria-current="page"' : '' ?><?= in_array($id, $rooms, true) ? '' : ' hidden' ?>><?= h($title) ?></a>
<?php endforeach ?>
</nav>
<main class="card" data-room="<?= $room ?>" data-csrf="<?= $csrf ?>">
  <p class="hint">Here: <span id="people"></span></p>
  <ol id="log" class="feed log" role="log" aria-label="Messages" tabindex="0"></ol>
  <form id="say" class="row">
    <label class="sr" for="text">Message</label>
    <input id="text" maxlength="500" autocomplete="off" placeholder="Say something" required>
    <button>Send</button>
  </form>
  <p class="error" id="error" role="alert"></p>
</main>
<form method="post" action="/logout.php">
  <input type="hidden" name="csrf" value="<?= $csrf ?>">
  <button class="quiet">Sign out <?= h($name) ?></button>
</form>
<?php endif ?>
</body>
</html>
