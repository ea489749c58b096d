#!/bin/sh
# Secrets by file, as in the official images: NAME_FILE names a file whose content becomes NAME.
set -eu
for name in DATABASE_URL REDIS_URL PGPASSWORD; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        value=$(cat "$file")
        export "$name=$value"
        unset "${name}_FILE"
    fi
done
exec "$@"
