# The build Job writes the mark when the store holds all that this release serves.
waited=0
until [ -e "/models/.built/$BUILD" ]; do
    if [ "$waited" -ge "$WAIT_SECONDS" ]; then
        echo "The build Job did not finish within $WAIT_SECONDS s; the server will tell what it lacks."
        exit 0
    fi
    if [ $((waited % 60)) -eq 0 ]; then echo "Waiting for the build Job (/models/.built/$BUILD)."; fi
    sleep 5
    waited=$((waited + 5))
done
