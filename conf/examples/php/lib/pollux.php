<?php
declare(strict_types=1);
// What an application needs to be asked by Pollux, and to call it. Copy this file.

/** The question that was POSTed, when Pollux signed it within the last five minutes; else this ends with 403. */
function pollux_question(string $secret): array
{
    $body = file_get_contents('php://input');
    $header = $_SERVER['HTTP_X_POLLUX_SIGNATURE'] ?? '';
    $good = preg_match('/^t=(\d{1,12}),v1=([0-9a-f]{64})$/D', $header, $m)
        && abs(time() - (int) $m[1]) <= 300
        && hash_equals(hash_hmac('sha256', "$m[1].$body", $secret), $m[2]);
    if (!$good) {
        http_response_code(403);
        exit("This page is for Pollux.\n");
    }
    return json_decode($body, true, 128, JSON_THROW_ON_ERROR);
}

/** Answers it. An empty JSON object is (object) [] in PHP. */
function pollux_answer(array $answer): never
{
    header('Content-Type: application/json');
    exit(json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE));
}

/** Calls Pollux's API: pollux_call('/publish', ['topic' => ..., 'event' => ..., 'payload' => ...]). */
function pollux_call(string $path, array $body): array
{
    $context = stream_context_create(['http' => [
        'method' => 'POST', 'timeout' => 5, 'ignore_errors' => true,
        'header' => ['X-Pollux-Key: ' . POLLUX_KEY, 'Content-Type: application/json'],
        'content' => json_encode($body, JSON_THROW_ON_ERROR),
    ]]);
    $answer = json_decode((string) file_get_contents(POLLUX_API . $path, false, $context), true);
    if (!is_array($answer) || isset($answer['error'])) {
        throw new RuntimeException('Pollux: ' . ($answer['error']['message'] ?? 'no answer'));
    }
    return $answer;
}
