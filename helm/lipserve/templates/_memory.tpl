{{/* What the largest requests that requestLimits let in take of a server's memory. */}}

{{/* How many processes of a last stage may encode together: all that a tier has (lipserve.contracts), and where no leaf has
     a GPU no more than requests are at work: one for each core, and two of clients that come late. */}}
{{- define "lipserve.server.encoders" -}}
{{- $cpu := (.Values.resources.requests | default dict).cpu | default "2" | toString -}}
{{- $cores := ternary (divf (trimSuffix "m" $cpu | float64) 1000) (trimSuffix "m" $cpu | float64) (hasSuffix "m" $cpu) | ceil | int -}}
{{- if eq .Values.profile "embedded" -}}
2
{{- else if eq .Values.accelerator.kind "none" -}}
{{- min 8 (add $cores 2) -}}
{{- else -}}
8
{{- end -}}
{{- end -}}

{{/* MiB, from peaks of a real pod in a cgroup (tests/cluster/test_pod_memory.py): 1,500 at rest, shared memory included; 8 for
     each MiB of requests, in all their copies; for each encoder and its first stage 350, and 160 bytes for each pixel. */}}
{{- define "lipserve.server.leastMemory" -}}
{{- $limits := .Values.requestLimits -}}
{{- $arriving := max (int ($limits.acceptedMib | default 512)) (int ($limits.messageMib | default 256)) -}}
{{- $pixels := int64 ($limits.pixels | default 36000000) -}}
{{- $pair := add 350 (div (mul 160 $pixels) 1048576) -}}
{{- add 1500 (mul 8 $arriving) (mul (include "lipserve.server.encoders" . | int) $pair) -}}
{{- end -}}

{{/* The same as a quantity. */}}
{{- define "lipserve.server.leastMemoryQuantity" -}}
{{- printf "%dGi" (div (add (include "lipserve.server.leastMemory" . | int64) 1023) 1024) -}}
{{- end -}}

{{/* `resources` of the server: memory that is not given follows from requestLimits, and the request is the limit. */}}
{{- define "lipserve.server.resources" -}}
{{- $limits := merge (dict) (.Values.resources.limits | default dict) -}}
{{- $requests := merge (dict) (.Values.resources.requests | default dict) -}}
{{- if not $limits.memory -}}
{{- $_ := set $limits "memory" (include "lipserve.server.leastMemoryQuantity" .) -}}
{{- end -}}
{{- if not $requests.memory -}}
{{- $_ := set $requests "memory" $limits.memory -}}
{{- end -}}
{{- toYaml (merge (dict "limits" $limits "requests" $requests) .Values.resources) -}}
{{- end -}}
