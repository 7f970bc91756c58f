{{/* What tracing adds to the server's arguments: items of a list, or nothing. (observe) */}}
{{- define "lipserve.tracing.podArguments" -}}{{- end -}}
