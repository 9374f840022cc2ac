-- Publishes to a topic of Pollux from any program with a Redis client (Redis 7), by EVAL or EVALSHA:
--
--   EVAL <this file> 1 plx:rules TOPIC EVENT PAYLOAD [KEY [binary]]
--
-- KEYS[1]  "<prefix>rules", with the prefix of the configuration's redis section: there the workers
--          write what is configured, so that this script keeps as much history as they do
-- PAYLOAD  any JSON value (RFC 8259) as text; with "binary" any bytes
-- KEY      idempotency key, empty for none: the same once more on the same topic within 5 minutes
--          publishes nothing and returns the first result, also over HTTP or the command line
--
-- Returns the position, "EPOCH:OFFSET", or an error "POLLUX code: what is wrong. What to do.", and
-- then nothing was published. Made of Pollux' own scripts when it was built; workers of a version
-- with another layout are refused. Not for Redis Cluster.

local function publish(KEYS, ARGV)
