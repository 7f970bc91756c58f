{{/* The files of /etc/envoy: entries of a ConfigMap. */}}
{{- define "lipserve.envoy.files" -}}
envoy.yaml: |
  {{- include "lipserve.envoy.bootstrap" . | nindent 2 }}
drain.sh: |
  {{- include "lipserve.envoy.drain" . | nindent 2 }}
{{- if .Values.tls.enabled }}
front-certificate.yaml: |
  {{- include "lipserve.envoy.certificateFile" (dict "name" "front-certificate" "folder" "front") | nindent 2 }}
{{- if .Values.tls.clients.required }}
front-clients.yaml: |
  {{- include "lipserve.envoy.authorityFile" (dict "name" "front-clients" "folder" "front-clients") | nindent 2 }}
{{- end }}
{{- end }}
{{- if .Values.tls.internal.enabled }}
internal-certificate.yaml: |
  {{- include "lipserve.envoy.certificateFile" (dict "name" "internal-certificate" "folder" "internal") | nindent 2 }}
internal-authority.yaml: |
  {{- include "lipserve.envoy.authorityFile" (dict "name" "internal-authority" "folder" "internal") | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Secrets of Envoy's pod by their folder in /secrets, as JSON. */}}
{{- define "lipserve.envoy.secrets" -}}
{{- $secrets := dict -}}
{{- if eq .Values.envoy.auth.mode "apiKey" -}}
{{- $own := printf "%s-api-keys" (include "lipserve.fullname" .) -}}
{{- $_ := set $secrets "api-keys" (.Values.envoy.auth.apiKey.existingSecret | default $own) -}}
{{- end -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $secrets "front" (include "lipserve.tls.secret" (dict "context" . "which" "front")) -}}
{{- if .Values.tls.clients.required -}}
{{- $_ := set $secrets "front-clients" .Values.tls.clients.caSecretName -}}
{{- end -}}
{{- end -}}
{{- if .Values.tls.internal.enabled -}}
{{- $_ := set $secrets "internal" (include "lipserve.tls.secret" (dict "context" . "which" "client")) -}}
{{- end -}}
{{- toJson $secrets -}}
{{- end -}}
