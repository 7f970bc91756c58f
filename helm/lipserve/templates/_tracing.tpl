{{/* What tracing adds to the server's arguments: items of a list, or nothing. (observe) */}}
{{- define "lipserve.tracing.podArguments" -}}
{{- with .Values.tracing.url }}
- --trace-to={{ . }}
{{- end }}
{{- end -}}
