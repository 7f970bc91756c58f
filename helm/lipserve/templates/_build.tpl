{{/* The Job that fills the store: the export of what needs no checkpoint, the engines of the profile tensorrt, or both. */}}

{{- define "lipserve.build.engines" -}}
{{- if and .Values.engines.build.enabled (eq .Values.profile "tensorrt") -}}true{{- end -}}
{{- end -}}

{{- define "lipserve.build.enabled" -}}
{{- if or (include "lipserve.build.engines" .) .Values.store.export.enabled -}}true{{- end -}}
{{- end -}}

{{/* Names what the Job makes: of the GPU, the image (so TensorRT), the models' revision and the store; empty where
     there is no Job. Pods wait for `.built/<id>` in the store. */}}
{{- define "lipserve.build.id" -}}
{{- if include "lipserve.build.enabled" . -}}
{{- $gpu := pick .Values.accelerator "kind" "product" "migProfile" -}}
{{- $image := include "lipserve.image" (dict "context" . "image" .Values.engines.build.image) -}}
{{- $store := list .Values.store.kind .Values.store.pvc .Values.store.s3 .Values.store.gcs .Values.store.revision .Values.store.export -}}
{{- list .Values.profile $gpu $image $store .Values.engines.build.arguments | toJson | sha256sum | trunc 12 -}}
{{- end -}}
{{- end -}}

{{/* The Job's pod template. The Job's name has a hash of it, for it cannot be changed: other values are another Job. */}}
{{- define "lipserve.build.podTemplate" -}}
metadata:
  labels:
    {{- include "lipserve.podLabels" (dict "context" . "component" "engines") | nindent 4 }}
    {{- with include "lipserve.store.label" . }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
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
  {{- include "lipserve.placement" . | nindent 2 }}
  initContainers:
    {{- with include "lipserve.store.fill" (dict "context" . "waits" false) | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if .Values.store.export.enabled }}
    {{- $command := concat (list "lipserve" "export" "all" "-o" "/models") .Values.store.export.arguments }}
    {{- include "lipserve.build.container" (dict "context" . "name" "export" "cache" "/opt/lipserve/cache" "command" $command "resources" (toYaml .Values.engines.build.resources)) | nindent 4 }}
    {{- end }}
    {{- if include "lipserve.build.engines" . }}
    {{- $command := concat (list "lipserve" "export" "engines" "--repository" "/models") .Values.engines.build.arguments }}
    {{- $resources := include "lipserve.acceleratedResources" (dict "context" . "resources" .Values.engines.build.resources) }}
    {{- include "lipserve.build.container" (dict "context" . "name" "engines" "command" $command "resources" $resources) | nindent 4 }}
    {{- end }}
  containers:
    {{- if include "lipserve.store.remote" . }}
    {{- include "lipserve.store.sync" (dict "context" . "name" "publish" "script" "files/publish-models.sh" "waits" true) | nindent 4 }}
    {{- else }}
    {{- $mark := printf "mkdir -p /models/.built && touch /models/.built/%s" (include "lipserve.build.id" .) }}
    {{- include "lipserve.build.container" (dict "context" . "name" "publish" "command" (list "sh" "-euc" $mark) "resources" (toYaml .Values.store.sync.resources)) | nindent 4 }}
    {{- end }}
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

{{/* Classes belong to the whole cluster: a name that the chart makes carries the namespace. */}}
{{- define "lipserve.priorityClassName" -}}
{{- if .Values.priorityClass.name -}}
{{- .Values.priorityClass.name -}}
{{- else if .Values.priorityClass.create -}}
{{- printf "%s-%s" .Release.Namespace (include "lipserve.fullname" .) -}}
{{- end -}}
{{- end -}}
