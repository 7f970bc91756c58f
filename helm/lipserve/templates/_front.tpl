{{/* What is called from outside, as JSON: {"service", "port"} of Envoy, or of Triton where Envoy is off. */}}
{{- define "lipserve.front" -}}
{{- $name := include "lipserve.fullname" . -}}
{{- if .Values.envoy.enabled -}}
{{- dict "service" (printf "%s-envoy" $name) "port" (int .Values.envoy.service.port) | toJson -}}
{{- else -}}
{{- dict "service" $name "port" 8001 | toJson -}}
{{- end -}}
{{- end -}}
