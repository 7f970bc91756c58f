{{/* Pieces that every pod of the chart shares. */}}

{{/* Labels of a pod: (dict "context" $ "component" "server"). Not the chart's version: pods would be replaced for it. */}}
{{- define "lipserve.podLabels" -}}
{{ include "lipserve.selectorLabels" . }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Services ask for it and the Deployment does not: a pod that loses it gets no new request and still counts, so
     that `lipserve ops drain` can wait for it. */}}
{{- define "lipserve.servingLabel" -}}
lipserve-serving: "true"
{{- end -}}

{{/* The pod's `securityContext`: the restricted profile of the Pod Security Standards. */}}
{{- define "lipserve.podSecurityContext" -}}
runAsNonRoot: true
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- with index $.Values.podSecurityContext $key }}
{{ $key }}: {{ . | int64 }}
{{- end }}
{{- end }}
# A store of thousands of files is not walked at every start.
fsGroupChangePolicy: OnRootMismatch
{{- with .Values.podSecurityContext.supplementalGroups }}
supplementalGroups: {{ toJson . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The `securityContext` of every container. */}}
{{- define "lipserve.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Environment of tools on a read-only root: what they cache goes to the emptyDir at /tmp. */}}
{{- define "lipserve.homeEnv" -}}
- name: HOME
  value: /tmp
{{- end -}}

{{/* NGC's images ask for every GPU of the node, and get it where NVIDIA's runtime is the default: a container that none
     was given to asks for none. */}}
{{- define "lipserve.noGpuEnv" -}}
- name: NVIDIA_VISIBLE_DEVICES
  value: void
{{- end -}}

{{/* Whether pods have an accelerator. */}}
{{- define "lipserve.accelerated" -}}
{{- if ne .Values.accelerator.kind "none" -}}true{{- end -}}
{{- end -}}

{{/* Resource name of the accelerator, or nothing. */}}
{{- define "lipserve.acceleratorResource" -}}
{{- $accelerator := .Values.accelerator -}}
{{- if eq $accelerator.kind "gpu" -}}
nvidia.com/gpu
{{- else if eq $accelerator.kind "mig" -}}
nvidia.com/mig-{{ $accelerator.migProfile }}
{{- else if eq $accelerator.kind "timeslice" -}}
{{ ternary "nvidia.com/gpu.shared" "nvidia.com/gpu" $accelerator.timesliceRenamed }}
{{- end -}}
{{- end -}}

{{/* Spec of the devices that each pod claims, of kind dra. */}}
{{- define "lipserve.claimTemplate.spec" -}}
devices:
  requests:
    - name: accelerator
      exactly:
        deviceClassName: {{ .Values.accelerator.deviceClassName | quote }}
        allocationMode: ExactCount
        count: {{ .Values.accelerator.count }}
        {{- with .Values.accelerator.selectors }}
        selectors:
          {{- range . }}
          - cel: {expression: {{ . | quote }}}
          {{- end }}
        {{- end }}
{{- end -}}

{{/* A template cannot be changed, so its name has a hash: other devices are another one. */}}
{{- define "lipserve.claimTemplate.name" -}}
{{ include "lipserve.fullname" . }}-accelerator-{{ include "lipserve.claimTemplate.spec" . | sha256sum | trunc 8 }}
{{- end -}}

{{/* `resources` with the accelerator: (dict "context" $ "resources" .Values.resources). */}}
{{- define "lipserve.acceleratedResources" -}}
{{- $resources := deepCopy .resources -}}
{{- with include "lipserve.acceleratorResource" .context -}}
{{- $count := $.context.Values.accelerator.count | toString -}}
{{- $limits := merge (dict . $count) ($resources.limits | default dict) -}}
{{- $requests := merge (dict . $count) ($resources.requests | default dict) -}}
{{- $resources = dict "limits" $limits "requests" $requests -}}
{{- end -}}
{{- if eq .context.Values.accelerator.kind "dra" -}}
{{- $_ := set $resources "claims" (list (dict "name" "accelerator")) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* What places a pod on a node of the accelerator and near its store: fields of a pod's spec. (dict "context" $ "of"
     what has nodeSelector, affinity and tolerations). */}}
{{- define "lipserve.placement" -}}
{{- $accelerator := .context.Values.accelerator -}}
{{- $accelerated := ne $accelerator.kind "none" -}}
{{- if and $accelerated $accelerator.runtimeClassName }}
runtimeClassName: {{ $accelerator.runtimeClassName | quote }}
{{- end }}
{{- if eq $accelerator.kind "dra" }}
resourceClaims:
  - name: accelerator
    resourceClaimTemplateName: {{ include "lipserve.claimTemplate.name" .context }}
{{- end }}
{{- with .of.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "lipserve.affinity" . | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (.of.tolerations | default list) (ternary $accelerator.tolerations list $accelerated) }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* `affinity`: the user's, with the GPU's product in every term, and one node for all users of a volume of one node. */}}
{{- define "lipserve.affinity" -}}
{{- $affinity := deepCopy (.of.affinity | default dict) -}}
{{- $products := include "lipserve.products" .context | fromJsonArray -}}
{{- if $products -}}
{{- $expression := dict "key" "nvidia.com/gpu.product" "operator" "In" "values" $products -}}
{{- $affinity = include "lipserve.affinityWith" (dict "affinity" $affinity "expression" $expression) | fromYaml -}}
{{- end -}}
{{- if include "lipserve.store.oneNode" .context -}}
{{- $selector := dict "matchLabels" (include "lipserve.store.label" .context | fromYaml) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $selector -}}
{{- $pod := $affinity.podAffinity | default dict -}}
{{- $terms := append ($pod.requiredDuringSchedulingIgnoredDuringExecution | default list) $term -}}
{{- $_ := set $pod "requiredDuringSchedulingIgnoredDuringExecution" $terms -}}
{{- $_ := set $affinity "podAffinity" $pod -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end -}}

{{/* An affinity with one more expression in every term that nodes have to meet: (dict "affinity" map "expression" map). */}}
{{- define "lipserve.affinityWith" -}}
{{- $affinity := deepCopy (.affinity | default dict) -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default (dict "nodeSelectorTerms" (list dict)) -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms -}}
{{- $terms = append $terms (merge (dict "matchExpressions" (append (.matchExpressions | default list) $.expression)) .) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- toYaml $affinity -}}
{{- end -}}

{{/* Values of nvidia.com/gpu.product that fit, as a JSON array: GPU feature discovery marks a time-sliced GPU whose
     resource keeps its name. */}}
{{- define "lipserve.products" -}}
{{- $products := list -}}
{{- if ne .Values.accelerator.kind "none" -}}
{{- $shared := and (eq .Values.accelerator.kind "timeslice") (not .Values.accelerator.timesliceRenamed) -}}
{{- range .Values.accelerator.product -}}
{{- $products = append $products (ternary (printf "%s-SHARED" .) . $shared) -}}
{{- end -}}
{{- end -}}
{{- toJson $products -}}
{{- end -}}

{{/* Bytes of a Kubernetes quantity. */}}
{{- define "lipserve.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- printf "%.0f" (mulf (float64 $number) (get $units (trimPrefix $number .) | float64)) -}}
{{- end -}}
