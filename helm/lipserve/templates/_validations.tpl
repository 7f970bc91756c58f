{{/* Fail once with every pair of values that contradict each other, a line each: "key: what is wrong; what to do".
     Each section is a template `lipserve.validate.<section>` that prints its lines. */}}
{{- define "lipserve.validate" -}}
{{- $lines := list -}}
{{- range $section := list "workload" "accelerator" "store" "engines" "storage" "access" "lifecycle" "front" "scale" "observe" "jobs" -}}
{{- range $line := include (printf "lipserve.validate.%s" $section) $ | splitList "\n" -}}
{{- with trim $line -}}{{- $lines = append $lines . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $lines -}}
{{- fail (printf "\nThese values cannot be installed:\n  %s" (join "\n  " $lines)) -}}
{{- end -}}
{{- end -}}
