{{/* Workers, among those who may call this release's Triton or its Envoy: an item of `from`, or nothing. */}}
{{- define "lipserve.jobs.workerPeer" -}}
{{- if include "lipserve.jobs.ownTriton" . -}}
- podSelector:
    matchLabels:
      {{- include "lipserve.selectorLabels" (dict "context" . "component" "jobs-worker") | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* What gateways and workers both call: NATS, and S3 with the cloud's identity: items of `egress`. */}}
{{- define "lipserve.jobs.queueEgress" -}}
{{- $policy := .Values.jobs.networkPolicy -}}
{{- if .Values.jobs.nats.enabled }}
- to:
    - podSelector:
        matchLabels:
          {{- include "lipserve.selectorLabels" (dict "context" . "component" "jobs-nats") | nindent 10 }}
  ports:
    - port: nats
      protocol: TCP
{{- else }}
# Elsewhere NATS may listen on any port.
- to:
    {{- toYaml $policy.nats | nindent 4 }}
{{- end }}
- to:
    {{- toYaml ($policy.objectStore.to | default $policy.internet) | nindent 4 }}
  ports:
    - port: {{ $policy.objectStore.port }}
      protocol: TCP
{{- if .Values.jobs.store.workloadIdentity }}
# Where EKS Pod Identity tells a pod who it is.
- to:
    - ipBlock:
        cidr: 169.254.170.23/32
    - ipBlock:
        cidr: fd00:ec2::23/128
  ports:
    - port: 80
      protocol: TCP
{{- end }}
{{- end -}}
