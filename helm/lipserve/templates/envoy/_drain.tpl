{{/* The end of an Envoy that loses nothing: the image has bash and no curl. */}}
{{- define "lipserve.envoy.drain" -}}
{{- $times := include "lipserve.lifecycle" . | fromJson -}}
#!/bin/bash
# Runs before SIGTERM, at which Envoy ends at once, whatever it is at.
ask() {
  exec 3<>/dev/tcp/127.0.0.1/9901 || exit 0
  printf '%s %s HTTP/1.1\r\nHost: envoy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}
# New connections still come while the Service forgets this pod.
sleep {{ int $times.preStop }}
# From now on answers carry GOAWAY: clients go elsewhere with what comes next. After --drain-time-s no connection is
# taken any more; those that are there go on.
ask POST '/drain_listeners?graceful&inboundonly' >/dev/null
sleep 6
# A call may be on its way while none is counted: it is over when none was counted for two seconds.
end=$((SECONDS + {{ int $times.requestTimeout }}))
quiet=0
while ((SECONDS < end && quiet < 4)); do
  if ask GET '/stats?filter=^http.grpc.downstream_rq_active$' | grep -q ': 0$'; then ((quiet += 1)); else quiet=0; fi
  sleep 0.5
done
{{- end -}}
