{{/* The label `job` of the release's series; Envoy's has -envoy behind it. */}}
{{- define "lipserve.metrics.job" -}}
{{- include "lipserve.fullname" . -}}
{{- end -}}

{{/* How an endpoint is scraped: (dict "context" $ "job" "lipserve"). */}}
{{- define "lipserve.metrics.endpoint" -}}
interval: {{ .context.Values.metrics.serviceMonitor.interval }}
scrapeTimeout: {{ .context.Values.metrics.serviceMonitor.scrapeTimeout }}
relabelings:
  - targetLabel: job
    replacement: {{ .job }}
    action: replace
{{- end -}}

{{/* Groups of files/rules, as YAML: without the alerts that the values leave out, runbooks with their base, and where
     names of kube-state-metrics are matched, this release's too. */}}
{{- define "lipserve.metrics.groups" -}}
{{- $context := . -}}
{{- $rules := .Values.metrics.rules -}}
{{- $left := $rules.disabled -}}
{{- if and (ne .Values.autoscaling.mode "none") (eq (int .Values.autoscaling.minReplicas) 0) -}}
{{- $left = append $left "LipServeScrapeAbsent" -}}
{{- end -}}
{{- $names := ".*lipserve.*" -}}
{{- $fullname := include "lipserve.fullname" . -}}
{{- if not (contains "lipserve" $fullname) -}}
{{- $names = printf ".*(lipserve|%s).*" $fullname -}}
{{- end -}}
{{- $groups := list -}}
{{- range $file := list "recording" "alerts" -}}
{{- range $group := (printf "files/rules/%s.yaml" $file | $context.Files.Get | fromYaml).groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- if not (has ($rule.alert | default "") $left) -}}
{{- with $rule.annotations -}}
{{- $_ := set . "runbook_url" (printf "%s%s" $rules.runbookBase .runbook_url) -}}
{{- end -}}
{{- if $rule.alert -}}
{{- $_ := set $rule "labels" (merge $rule.labels $rules.alertLabels) -}}
{{- end -}}
{{- $_ := set $rule "expr" (replace ".*lipserve.*" $names $rule.expr) -}}
{{- $kept = append $kept $rule -}}
{{- end -}}
{{- end -}}
{{- if $kept -}}
{{- $groups = append $groups (dict "name" $group.name "rules" $kept) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{- define "lipserve.validate.observe" -}}
{{- $known := list -}}
{{- range (.Files.Get "files/rules/alerts.yaml" | fromYaml).groups -}}
{{- range .rules -}}{{- $known = append $known .alert -}}{{- end -}}
{{- end -}}
{{- range .Values.metrics.rules.disabled }}
{{- if not (has . $known) }}
metrics.rules.disabled: there is no alert {{ . }}; files/rules/alerts.yaml has their names
{{- end }}
{{- end }}
{{- end -}}
