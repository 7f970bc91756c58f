# What the Job made goes from /models to $STORE; pods that wait look at the files themselves.
rclone copy --checksum --transfers 8 --exclude /.complete --stats 15s --stats-one-line --stats-log-level NOTICE \
    /models "$STORE"
