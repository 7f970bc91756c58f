{{/* Certificates: which Secrets they are in, and what they add to the server's pod. */}}

{{/* The DNS name that Triton's certificate stands for towards Envoy. */}}
{{- define "lipserve.tls.internalName" -}}
{{- printf "%s-headless.%s.svc" (include "lipserve.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Secret of one certificate: (dict "context" $ "which" "front" | "server" | "client"). */}}
{{- define "lipserve.tls.secret" -}}
{{- $tls := .context.Values.tls -}}
{{- if eq $tls.source "certManager" -}}
{{- printf "%s-tls-%s" (include "lipserve.fullname" .context) .which -}}
{{- else -}}
{{- get (dict "front" $tls.secretName "server" $tls.internal.serverSecretName "client" $tls.internal.clientSecretName) .which -}}
{{- end -}}
{{- end -}}

{{/* What Triton itself shows and asks for, as JSON: {"secret", "authority": Secret with ca.crt, or ""}; or nothing. */}}
{{- define "lipserve.tls.ofTriton" -}}
{{- $tls := .Values.tls -}}
{{- if $tls.internal.enabled -}}
{{- $secret := include "lipserve.tls.secret" (dict "context" . "which" "server") -}}
{{- dict "secret" $secret "authority" $secret | toJson -}}
{{- else if and $tls.enabled (not .Values.envoy.enabled) -}}
{{- $secret := include "lipserve.tls.secret" (dict "context" . "which" "front") -}}
{{- dict "secret" $secret "authority" (ternary $tls.clients.caSecretName "" $tls.clients.required) | toJson -}}
{{- end -}}
{{- end -}}

{{- define "lipserve.tls.podArguments" -}}
{{- with include "lipserve.tls.ofTriton" . | fromJson }}
{{- if .secret }}
- --tls-certificate=/secrets/tls/tls.crt
- --tls-key=/secrets/tls/tls.key
{{- if .authority }}
- --tls-client-ca=/secrets/tls-clients/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.tls.volumes" -}}
{{- with include "lipserve.tls.ofTriton" . | fromJson }}
{{- if .secret }}
- name: tls
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- if .authority }}
- name: tls-clients
  secret:
    secretName: {{ .authority | quote }}
    defaultMode: 0440
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.tls.volumeMounts" -}}
{{- with include "lipserve.tls.ofTriton" . | fromJson }}
{{- if .secret }}
- name: tls
  mountPath: /secrets/tls
  readOnly: true
{{- if .authority }}
- name: tls-clients
  mountPath: /secrets/tls-clients
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
