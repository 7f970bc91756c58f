{{/* Name of the chart in labels. */}}
{{- define "lipserve.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the release's objects: at most 40 characters, so that suffixes fit the 63 of a label. */}}
{{- define "lipserve.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select a component's pods: (dict "context" $ "component" "server"). They never change. */}}
{{- define "lipserve.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lipserve.name" .context | quote }}
app.kubernetes.io/instance: {{ .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object: (dict "context" $ "component" "server"). */}}
{{- define "lipserve.labels" -}}
{{ include "lipserve.selectorLabels" . }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The `annotations:` of an object, or nothing: (dict "context" $ "annotations" map); "annotations" may be left out. */}}
{{- define "lipserve.annotations" -}}
{{- with merge (dict) (.annotations | default dict) .context.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Reference of an image: (dict "context" $ "image" .Values.image "home" "docker.io"). A digest wins over the tag; no
     tag is the chart's appVersion. "home" is the registry of an image that others publish. */}}
{{- define "lipserve.image" -}}
{{- $registry := .image.registry | default .context.Values.global.imageRegistry | default .home | default "" -}}
{{- $repository := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .context.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The `imagePullSecrets:` of a pod, or nothing. */}}
{{- define "lipserve.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Name of the service account that the server's pods run as. */}}
{{- define "lipserve.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "lipserve.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* Address that clients in the cluster call: Envoy's where it is enabled. */}}
{{- define "lipserve.target" -}}
{{- $name := include "lipserve.fullname" . -}}
{{- if .Values.envoy.enabled -}}
{{- printf "%s-envoy.%s.svc:%v" $name .Release.Namespace .Values.envoy.service.port -}}
{{- else -}}
{{- printf "%s.%s.svc:8001" $name .Release.Namespace -}}
{{- end -}}
{{- end -}}
