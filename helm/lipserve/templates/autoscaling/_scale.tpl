{{/* Matchers of the release's recorded series. */}}
{{- define "lipserve.scale.matchers" -}}
namespace="{{ .Release.Namespace }}",job="{{ .Values.autoscaling.prometheus.job | default (include "lipserve.metrics.job" .) }}"
{{- end -}}

{{/* What stands for "nothing waits" while there are no pods that could tell so, and is empty as soon as there should
     be some: an answer that fails must not look like rest. */}}
{{- define "lipserve.scale.rest" -}}
{{- if eq (int .Values.autoscaling.minReplicas) 0 -}}
{{- if .Values.envoy.enabled }} or on (namespace) 0 * (max by (namespace) (envoy_cluster_membership_total{namespace="{{ .Release.Namespace }}",envoy_cluster_name="triton"}) == 0)
{{- else }} or 0 * absent(lipserve_ready{ {{- include "lipserve.scale.matchers" . -}} })
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Queries with their targets for each pod, as a JSON array: the mode keda asks them, the mode hpa their names. */}}
{{- define "lipserve.scale.metrics" -}}
{{- $scale := .Values.autoscaling -}}
{{- $matchers := include "lipserve.scale.matchers" . -}}
{{- $rest := include "lipserve.scale.rest" . -}}
{{- $metrics := list -}}
{{- range list
  (list "pending" "lipserve:pending" $scale.targetPending)
  (list "in-flight" "lipserve:in_flight" $scale.targetInFlight)
  (list "oldest" "lipserve:oldest_pending_seconds:times_pods" $scale.targetOldestSeconds) -}}
{{- $query := printf "%s{%s}%s" (index . 1) $matchers $rest -}}
{{- $external := index . 1 | replace ":" "_" -}}
{{- $metrics = append $metrics (dict "name" (index . 0) "query" $query "external" $external "target" (index . 2 | int)) -}}
{{- end -}}
{{- toJson $metrics -}}
{{- end -}}

{{/* `behavior` of the autoscaler, the same in both modes. */}}
{{- define "lipserve.scale.behavior" -}}
{{- include "lipserve.scale.behaviorOf" .Values.autoscaling -}}
{{- end -}}

{{/* `behavior` of what has scaleOut and scaleIn. */}}
{{- define "lipserve.scale.behaviorOf" -}}
{{- $out := .scaleOut -}}
{{- $in := .scaleIn -}}
scaleUp:
  stabilizationWindowSeconds: {{ $out.stabilizationSeconds }}
  policies:
    - type: Pods
      value: {{ $out.pods }}
      periodSeconds: {{ $out.periodSeconds }}
scaleDown:
  # The highest wish of so many seconds counts.
  stabilizationWindowSeconds: {{ $in.stabilizationSeconds }}
  policies:
    - type: Pods
      value: {{ $in.pods }}
      periodSeconds: {{ $in.periodSeconds }}
{{- end -}}

{{- define "lipserve.validate.scale" -}}
{{- $scale := .Values.autoscaling -}}
{{- if ne $scale.mode "none" }}
{{- if gt (int $scale.minReplicas) (int $scale.maxReplicas) }}
autoscaling.minReplicas: {{ $scale.minReplicas }} is more than maxReplicas, {{ $scale.maxReplicas }}; give {{ $scale.maxReplicas }} or less
{{- end }}
{{- if and (eq $scale.mode "hpa") (eq (int $scale.minReplicas) 0) }}
autoscaling.minReplicas: an HPA does not scale to zero; give 1 or more, or the mode keda
{{- end }}
{{- if and (eq $scale.mode "keda") (eq (int $scale.minReplicas) 0) (not .Values.envoy.enabled) (not $scale.extraTriggers) }}
autoscaling.minReplicas: without pods nothing tells of demand; set envoy.enabled (it counts calls that find no pod), name a queue in autoscaling.extraTriggers, or give 1
{{- end }}
{{- if and (eq $scale.mode "keda") (not $scale.prometheus.url) }}
autoscaling.prometheus.url: KEDA has no Prometheus to ask; give its address, http://prometheus-operated.monitoring.svc:9090
{{- end }}
{{- if and (eq $scale.mode "keda") (or (lt (int $scale.fallback.replicas) (int $scale.minReplicas)) (gt (int $scale.fallback.replicas) (int $scale.maxReplicas))) }}
autoscaling.fallback.replicas: {{ $scale.fallback.replicas }} is not between minReplicas and maxReplicas; give {{ max 1 $scale.minReplicas }} to {{ $scale.maxReplicas }}
{{- end }}
{{- if lt (int $scale.scaleIn.stabilizationSeconds) (int .Values.lifecycle.longestSegmentSeconds) }}
autoscaling.scaleIn.stabilizationSeconds: {{ $scale.scaleIn.stabilizationSeconds }} s take pods away between two segments of {{ .Values.lifecycle.longestSegmentSeconds }} s; give that or more
{{- end }}
{{- end }}
{{- if and (ne $scale.mode "keda") $scale.extraTriggers }}
autoscaling.extraTriggers: only the mode keda reads them; use it, or leave them out
{{- end }}
{{- end -}}
