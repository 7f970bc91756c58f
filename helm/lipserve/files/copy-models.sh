# $STORE is copied to /models. Files are compared by checksum and renamed into place when they are whole, so a copy
# that was cut off goes on where it was, and pods that fill one cache together do no harm.
if [ -n "$REVISION" ] && [ "$(cat /models/.complete 2>/dev/null)" = "$REVISION" ]; then
    echo "The cache holds this revision already."
    exit 0
fi
rclone lsf --max-depth 1 "$STORE" >/dev/null # wrong keys or a closed network fail here, and are not waited for
waited=0
while [ -n "$BUILD" ] && [ "$(rclone cat "$STORE/.built/$BUILD" 2>/dev/null)" != "$BUILD" ]; do
    if [ "$waited" -ge "$WAIT_SECONDS" ]; then
        echo "The build Job did not finish within $WAIT_SECONDS s; the server will tell what it lacks."
        break
    fi
    if [ $((waited % 60)) -eq 0 ]; then echo "Waiting for the build Job ($STORE/.built/$BUILD)."; fi
    sleep 5
    waited=$((waited + 5))
done
rclone copy --checksum --transfers 8 --exclude '/.built/**' --exclude /.complete --stats 15s --stats-one-line \
    --stats-log-level NOTICE "$STORE" /models
if [ -n "$REVISION" ] && { [ -z "$BUILD" ] || [ "$waited" -lt "$WAIT_SECONDS" ]; }; then
    printf %s "$REVISION" >/models/.complete
fi
