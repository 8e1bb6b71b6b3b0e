#!/bin/sh
# Redis for mtmc. `persistent` turns on AOF persistence, `volatile` keeps pictures in memory only, `check` exits with 0 if
# Redis answers. The password (REDISCLI_AUTH, which redis-cli also reads) is written to a file in memory, because every
# user of the host can read command lines.
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
    # Only containers of this network can reach Redis, unless its port is published, which requires a password.
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
