#!/bin/sh
# Redis for mtmc: `persistent` logs every write, `volatile` keeps pictures in memory only, `check` asks whether it answers.
# The password (REDISCLI_AUTH, which redis-cli reads by itself) goes into a file in memory, because anybody can read a
# command line.
set -eu
if [ "$1" = check ]; then
    [ "$(redis-cli ping)" = PONG ]
    exit
fi
umask 077
{
    echo "dir /data"
    echo "save \"\""
    echo "maxmemory-policy noeviction"
    # Only containers of this network reach it, unless somebody publishes the port, which needs a password.
    echo "protected-mode no"
    case "$1" in
        persistent) printf 'appendonly yes\nappendfsync everysec\n' ;;
        volatile) echo "appendonly no" ;;
        *) echo "redis.sh: persistent or volatile?" >&2; exit 2 ;;
    esac
    if [ -n "${REDISCLI_AUTH:-}" ]; then
        printf 'requirepass "%s"\n' "$(printf '%s' "$REDISCLI_AUTH" | sed 's/["\\]/\\&/g')"
    fi
} > /tmp/redis.conf
if command -v docker-entrypoint.sh >/dev/null && command -v redis-server >/dev/null && id redis >/dev/null 2>&1; then
    chown redis /tmp/redis.conf
    exec docker-entrypoint.sh redis-server /tmp/redis.conf
fi
exec redis-server /tmp/redis.conf
