<?php
declare(strict_types=1);
// Who there is. A real site has a database.

const ROOMS = ['garden' => 'Garden', 'kitchen' => 'Kitchen'];

/** name => [password_hash(), rooms]. For trying: each name is its password. */
const PEOPLE = [
    'anna' => ['$2y$10$JwIUIgiUBfPwTYPP1S2NX.g1QRG.iUEGedoCEpTKKkzAXw.SVgW0i', ['garden', 'kitchen']],
    'ben' => ['$2y$10$oUZySHC5sBxQJihJHljl9O7JWpDGxQ.OeuRs3ibl.jnnDIAG2Wpm.', ['garden']],
    'cleo' => ['$2y$10$QMJwOWVb15qOjfQuePm9uu43RTyEuXnqPbulEGIFZSJHbzV/k4bVe', ['kitchen']],
];

function password_is_right(string $name, string $password): bool
{
    return isset(PEOPLE[$name]) && password_verify($password, PEOPLE[$name][0]);
}

/** The rooms that somebody may enter. */
function rooms_of(string $name): array
{
    return PEOPLE[$name][1] ?? [];
}
