{{/* The Job that fills the store: the export of what needs no checkpoint, the engines of the profile tensorrt, or both. Pods that wait ask the store itself. */}}

{{- define "lipserve.build.engines" -}}
{{- if and .Values.engines.build.enabled (eq .Values.profile "tensorrt") -}}true{{- end -}}
{{- end -}}

{{- define "lipserve.build.enabled" -}}
{{- if or (include "lipserve.build.engines" .) .Values.store.export.enabled -}}true{{- end -}}
{{- end -}}

{{/* Names what the Job makes, by what it depends on and nothing else: the kind of GPU, the exporter (so TensorRT), the
     models' revision and the export; empty where there is no Job. A shared cache has a folder for each. */}}
{{- define "lipserve.build.id" -}}
{{- if include "lipserve.build.enabled" . -}}
{{- $claim := ternary (include "lipserve.claimTemplate.spec" .) "" (eq .Values.accelerator.kind "dra") -}}
{{- $gpu := list .Values.accelerator.kind .Values.accelerator.migProfile $claim (include "lipserve.capabilities" . | default .Values.accelerator.product) -}}
{{- $exporter := pick .Values.engines.build.image "repository" "tag" "digest" -}}
{{- list .Values.profile $gpu $exporter .Values.store.revision .Values.store.export .Values.engines.build.arguments | toJson | sha256sum | trunc 12 -}}
{{- end -}}
{{- end -}}

{{/* A Job cannot be changed, so its name has a hash of its pod template: other values are another Job. */}}
{{- define "lipserve.build.jobName" -}}
{{ include "lipserve.fullname" . }}-build-{{ include "lipserve.build.podTemplate" . | sha256sum | trunc 10 }}
{{- end -}}

{{/* Whether pods that wait ask the API server for the Job. */}}
{{- define "lipserve.build.watched" -}}
{{- if and (include "lipserve.build.enabled" .) .Values.engines.build.watch -}}true{{- end -}}
{{- end -}}

{{/* The steps of the Job, as a JSON array of the YAML of a container each. */}}
{{- define "lipserve.build.steps" -}}
{{- $build := .Values.engines.build -}}
{{- $steps := list -}}
{{- if include "lipserve.store.remote" . -}}
{{- $steps = append $steps (include "lipserve.store.sync" (dict "context" . "name" "copy-models" "script" "files/copy-models.sh")) -}}
{{- end -}}
{{- if .Values.store.export.enabled -}}
{{- $command := concat (list "lipserve" "export" "all" "-o" "/models") .Values.store.export.arguments -}}
{{- $steps = append $steps (include "lipserve.build.container" (dict "context" . "name" "export" "cache" "/opt/lipserve/cache" "command" $command "resources" (toYaml $build.resources))) -}}
{{- end -}}
{{- if include "lipserve.build.engines" . -}}
{{- $command := concat (list "lipserve" "export" "engines" "--repository" "/models") $build.arguments -}}
{{- $resources := include "lipserve.acceleratedResources" (dict "context" . "resources" $build.resources) -}}
{{- $steps = append $steps (include "lipserve.build.container" (dict "context" . "name" "engines" "command" $command "resources" $resources)) -}}
{{- end -}}
{{- if include "lipserve.store.remote" . -}}
{{- $steps = append $steps (include "lipserve.store.sync" (dict "context" . "name" "publish" "script" "files/publish-models.sh")) -}}
{{- end -}}
{{- toJson $steps -}}
{{- end -}}

{{/* The Job's pod template. What the servers' pods have (labels, annotations, where they run) is not in it: a change of
     these would be another Job, which asks for a GPU and has nothing to do. */}}
{{- define "lipserve.build.podTemplate" -}}
{{- $build := .Values.engines.build -}}
{{- $steps := include "lipserve.build.steps" . | fromJsonArray -}}
metadata:
  labels:
    {{- $own := merge (include "lipserve.selectorLabels" (dict "context" . "component" "engines") | fromYaml) (include "lipserve.store.label" . | fromYaml) }}
    {{- toYaml (merge $own $build.podLabels) | nindent 4 }}
    # Another build is another Job, also where nothing else in here tells.
    lipserve-build: {{ include "lipserve.build.id" . | quote }}
  {{- with $build.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  # Not OnFailure: at its last try that takes the pod away, and the log of what went wrong with it.
  restartPolicy: Never
  serviceAccountName: {{ include "lipserve.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "lipserve.imagePullSecrets" . | nindent 2 }}
  {{- with include "lipserve.build.priorityClassName" . }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  securityContext:
    {{- include "lipserve.podSecurityContext" . | nindent 4 }}
  {{- include "lipserve.placement" (dict "context" . "of" $build) | nindent 2 }}
  {{- with initial $steps }}
  initContainers:
    {{- join "\n" . | nindent 4 }}
  {{- end }}
  containers:
    {{- last $steps | nindent 4 }}
  volumes:
    {{- include "lipserve.store.volumes" . | nindent 4 }}
    - name: tmp
      emptyDir:
        sizeLimit: {{ .Values.temporary.size | quote }}
{{- end -}}

{{/* A container of the export image: (dict "context" $ "name" ... "command" list "resources" yaml); "cache" is a folder
     of the image that has what is fetched otherwise. */}}
{{- define "lipserve.build.container" -}}
{{- $build := .context.Values.engines.build -}}
- name: {{ .name }}
  image: {{ include "lipserve.image" (dict "context" .context "image" $build.image) | quote }}
  imagePullPolicy: {{ $build.image.pullPolicy }}
  command: {{ toJson .command }}
  terminationMessagePolicy: FallbackToLogsOnError
  env:
    {{- include "lipserve.homeEnv" .context | nindent 4 }}
    {{- if ne .name "engines" }}
    {{- include "lipserve.noGpuEnv" . | nindent 4 }}
    {{- end }}
    {{- with .cache }}
    - name: XDG_CACHE_HOME
      value: {{ . }}
    {{- end }}
  securityContext:
    {{- include "lipserve.securityContext" .context | nindent 4 }}
  resources:
    {{- .resources | nindent 4 }}
  volumeMounts:
    {{- include "lipserve.store.mount" (dict "context" .context) | nindent 4 }}
    - name: tmp
      mountPath: /tmp
{{- end -}}

{{- define "lipserve.build.priorityClassName" -}}
{{- if .Values.engines.build.priorityClassName -}}
{{- .Values.engines.build.priorityClassName -}}
{{- else if and .Values.priorityClass.create (include "lipserve.build.engines" .) -}}
{{- include "lipserve.priorityClassName" . }}-build
{{- end -}}
{{- end -}}

{{/* Classes belong to the whole cluster, so a name that the chart makes carries the namespace. A class cannot be changed
     either, so the name carries what it says: m2 is -2. */}}
{{- define "lipserve.priorityClassName" -}}
{{- if .Values.priorityClass.name -}}
{{- .Values.priorityClass.name -}}
{{- else if .Values.priorityClass.create -}}
{{- $class := .Values.priorityClass -}}
{{- $value := int $class.value | toString | replace "-" "m" -}}
{{- printf "%s-%s-%s" .Release.Namespace (include "lipserve.fullname" .) $value -}}
{{- if ne $class.preemptionPolicy "Never" }}-preempts{{ end -}}
{{- end -}}
{{- end -}}
