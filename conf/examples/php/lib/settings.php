<?php
declare(strict_types=1);

const POLLUX_SECRET = 'only-for-trying-the-php-example';    // what Pollux signs its questions with
const POLLUX_KEY = 'only-for-trying-the-php-api';           // what we call its API with
define('POLLUX_API', getenv('POLLUX_API') ?: 'http://127.0.0.1:8000/api');
