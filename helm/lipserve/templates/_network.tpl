{{/* Port of a URL. */}}
{{- define "lipserve.port" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* Rules that network policies share: items of `egress`, or nothing. */}}

{{- define "lipserve.network.dns" -}}
{{- if .Values.networkPolicy.dns -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end -}}
{{- end -}}

{{/* To the object store, with names looked up and the cloud's identity asked. */}}
{{- define "lipserve.network.storeEgress" -}}
{{- if include "lipserve.store.remote" . }}
{{ include "lipserve.network.dns" . }}
{{ include "lipserve.network.objectStore" . }}
{{- end }}
{{- end -}}

{{- define "lipserve.network.objectStore" -}}
- to:
    {{- toYaml .Values.networkPolicy.objectStore.to | nindent 4 }}
  ports:
    - port: {{ .Values.networkPolicy.objectStore.port }}
      protocol: TCP
{{- if (index .Values.store .Values.store.kind).workloadIdentity }}
# Where EKS and GKE tell a pod who it is.
- to:
    - ipBlock:
        cidr: 169.254.0.0/16
    - ipBlock:
        cidr: fd00:ec2::23/128
    - ipBlock:
        cidr: fd20:ce::254/128
  ports:
    - port: 80
      protocol: TCP
    - port: 988
      protocol: TCP
{{- end }}
{{- end -}}

{{/* All that the server calls. */}}
{{- define "lipserve.network.serverEgress" -}}
{{- $traces := .Values.tracing.url -}}
{{- if or (include "lipserve.store.remote" .) $traces }}
{{ include "lipserve.network.dns" . }}
{{- end }}
{{- if include "lipserve.store.remote" . }}
{{ include "lipserve.network.objectStore" . }}
{{- end }}
{{- if $traces }}
- to:
    {{- toYaml .Values.networkPolicy.traces.to | nindent 4 }}
  ports:
    - port: {{ .Values.networkPolicy.traces.port }}
      protocol: TCP
{{- end }}
{{- if and .Values.networkPolicy.apiServer.to (or .Values.autoscaling.deletionCost (include "lipserve.build.watched" .)) }}
- to:
    {{- toYaml .Values.networkPolicy.apiServer.to | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end -}}
