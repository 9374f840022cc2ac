<?php
declare(strict_types=1);
// Where Pollux asks: who is connecting, may they join, what becomes of what they push.
require __DIR__ . '/../lib/settings.php';
require __DIR__ . '/../lib/pollux.php';
require __DIR__ . '/../lib/people.php';
require __DIR__ . '/../lib/session.php';

$question = pollux_question(POLLUX_SECRET);
pollux_answer(match ($question['hook']) {
    'connect' => connect($question['socket']),
    'join' => enter($question),
    'push' => said($question),
    default => [],
});

function refused(string $reason): array
{
    return ['status' => 'error', 'response' => ['reason' => $reason]];
}

/** The claims come back with every later question of this socket, as socket.claims. */
function connect(array $socket): array
{
    $session = session_in($socket['headers']['cookie'] ?? '');
    if (!isset($session['name'])) {
        return ['status' => 'error', 'reason' => 'not signed in'];
    }
    return ['status' => 'ok', 'claims' => ['name' => $session['name'], 'session' => session_tag()]];
}

function enter(array $question): array
{
    $room = substr($question['topic'], strlen('room:'));
    $name = $question['socket']['claims']['name'];
    if (!in_array($room, rooms_of($name), true)) {
        return refused('this room is not yours');
    }
    return [
        'status' => 'ok',
        'response' => ['room' => ROOMS[$room], 'you' => $name],
        'presence' => ['track' => ['key' => $name, 'meta' => ['since' => time()]]],
    ];
}

function said(array $question): array
{
    $text = $question['payload']['text'] ?? null;
    if ($question['event'] !== 'message' || !is_string($text) || trim($text) === '' || strlen($text) > 2000) {
        return ['reply' => refused('a message is a text of up to 2000 bytes')];
    }
    // The same question may come twice, after a crash, with the same message_id.
    $message = [
        'id' => $question['message_id'],
        'name' => $question['socket']['claims']['name'],
        'text' => trim($text),
        'time' => time(),
    ];
    return [
        'broadcast' => [['event' => 'message', 'payload' => $message]],
        'reply' => ['status' => 'ok', 'response' => ['id' => $message['id']]],
    ];
}
