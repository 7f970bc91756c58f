{{/* What workers are scaled on, as a JSON array: steps that wait or are at work, for each place; the wait of the first
     job; and one worker while anything at all is left to do: a webhook's next try, a job that has expired. Gateways tell
     it, so that it is known where there is no worker. */}}
{{- define "lipserve.jobs.triggers" -}}
{{- $worker := .Values.jobs.worker -}}
{{- $matchers := printf "namespace=\"%s\",job=\"%s\"" .Release.Namespace (include "lipserve.jobs.metricsJob" .) -}}
{{- list
  (dict "name" "steps" "query" (printf "lipserve:jobs_steps{%s}" $matchers) "target" $worker.places)
  (dict "name" "oldest" "query" (printf "lipserve:jobs_oldest_queued_seconds:times_workers{%s}" $matchers) "target" $worker.autoscaling.targetOldestSeconds)
  (dict "name" "left" "query" (printf "clamp_max(lipserve:jobs_left{%s}, 1)" $matchers) "target" 1)
  | toJson -}}
{{- end -}}
