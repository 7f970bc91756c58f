{{/* How workers reach Triton, as JSON: {"url", "arguments" of TLS, "tls": the Secret of its files or "", "items" of it}. */}}
{{- define "lipserve.jobs.triton" -}}
{{- $given := .Values.jobs.triton -}}
{{- $name := include "lipserve.fullname" . -}}
{{- $url := $given.url -}}
{{- if not $url -}}
{{- /* Without Envoy the name has the address of every pod, and the client takes them by turns. */ -}}
{{- $url = ternary (include "lipserve.target" .) (printf "%s-headless.%s.svc:8001" $name .Release.Namespace) .Values.envoy.enabled -}}
{{- end -}}
{{- $secret := $given.tls.secretName -}}
{{- if and (not $secret) (not $given.url) .Values.tls.enabled -}}
{{- $secret = include "lipserve.tls.secret" (dict "context" . "which" "front") -}}
{{- end -}}
{{- $arguments := list -}}
{{- $items := list (dict "key" "ca.crt" "path" "ca.crt") -}}
{{- if $secret -}}
{{- $arguments = list "--tls-ca=/secrets/tls/ca.crt" -}}
{{- if .Values.tls.clients.required -}}
{{- $arguments = concat $arguments (list "--tls-cert=/secrets/tls/tls.crt" "--tls-key=/secrets/tls/tls.key") -}}
{{- $items = concat $items (list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key")) -}}
{{- end -}}
{{- end -}}
{{- dict "url" $url "arguments" $arguments "tls" $secret "items" $items | toJson -}}
{{- end -}}

{{/* "true" where workers call this release's Triton, or its Envoy. */}}
{{- define "lipserve.jobs.ownTriton" -}}
{{- if and .Values.jobs.enabled (not .Values.jobs.triton.url) -}}true{{- end -}}
{{- end -}}
