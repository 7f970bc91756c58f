{{/* The model store: a claim, or a copy of an object store or of an image that an init container makes. Pods see it
     read-only at /models. */}}

{{- define "lipserve.store.remote" -}}
{{- if has .Values.store.kind (list "s3" "gcs") -}}true{{- end -}}
{{- end -}}

{{/* "true" where only one node can mount the store. */}}
{{- define "lipserve.store.oneNode" -}}
{{- if and (eq .Values.store.kind "pvc") (not (has "ReadWriteMany" .Values.store.pvc.accessModes)) (not (has "ReadOnlyMany" .Values.store.pvc.accessModes)) -}}
true
{{- end -}}
{{- end -}}

{{/* Label of pods that mount a store of one node. */}}
{{- define "lipserve.store.label" -}}
{{- if include "lipserve.store.oneNode" . -}}
lipserve-store: {{ include "lipserve.store.claim" . | trunc 63 | trimSuffix "-" | trimSuffix "." | quote }}
{{- end -}}
{{- end -}}

{{- define "lipserve.store.claim" -}}
{{- .Values.store.pvc.existingClaim | default (printf "%s-models" (include "lipserve.fullname" .)) -}}
{{- end -}}

{{/* Folder of a shared cache: of this store and revision alone, so that pods of an older one keep theirs. */}}
{{- define "lipserve.store.folder" -}}
{{- list .Values.store.kind .Values.store.s3 .Values.store.gcs .Values.store.image .Values.store.revision (include "lipserve.build.id" .) | toJson | sha256sum | trunc 12 -}}
{{- end -}}

{{/* Whether the store is an image that is mounted, and not copied. */}}
{{- define "lipserve.store.mounted" -}}
{{- if and (eq .Values.store.kind "image") .Values.store.image.mount -}}true{{- end -}}
{{- end -}}

{{/* The pod's volumes for the store. */}}
{{- define "lipserve.store.volumes" -}}
- name: models
{{- if eq .Values.store.kind "pvc" }}
  persistentVolumeClaim:
    claimName: {{ include "lipserve.store.claim" . | quote }}
    {{- if include "lipserve.store.readOnly" . }}
    # Disks are attached to several nodes only so, and fsGroup is not written to them.
    readOnly: true
    {{- end }}
{{- else if include "lipserve.store.mounted" . }}
  image:
    reference: {{ include "lipserve.image" (dict "context" . "image" .Values.store.image) | quote }}
    pullPolicy: {{ .Values.store.image.pullPolicy }}
{{- else if .Values.store.cache.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.store.cache.existingClaim | quote }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .Values.store.cache.size | quote }}
{{- end }}
{{- if and (eq .Values.store.kind "gcs") .Values.store.gcs.existingSecret }}
- name: gcs-credentials
  secret:
    secretName: {{ .Values.store.gcs.existingSecret | quote }}
{{- end }}
{{- end -}}

{{/* The mount at /models, or at "path": (dict "context" $ "readOnly" true). */}}
{{- define "lipserve.store.mount" -}}
{{- $store := .context.Values.store -}}
- name: models
  mountPath: {{ .path | default "/models" }}
  {{- if .readOnly }}
  readOnly: true
  {{- end }}
  {{- if and (eq $store.kind "pvc") $store.pvc.subPath }}
  subPath: {{ $store.pvc.subPath | quote }}
  {{- else if and (include "lipserve.store.mounted" .context) (trimAll "/" $store.image.path) }}
  subPath: {{ trimAll "/" $store.image.path | quote }}
  {{- else if and (ne $store.kind "pvc") $store.cache.existingClaim }}
  subPath: lipserve-{{ include "lipserve.store.folder" .context }}
  {{- end }}
{{- end -}}

{{/* The init container that copies the models out of an image. */}}
{{- define "lipserve.store.fromImage" }}
- name: copy-models
  image: {{ include "lipserve.image" (dict "context" . "image" .Values.store.image) | quote }}
  imagePullPolicy: {{ .Values.store.image.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .Values.store.image.path) | quote }}, /store/]
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "lipserve.securityContext" . | nindent 4 }}
  resources:
    {{- toYaml .Values.store.sync.resources | nindent 4 }}
  volumeMounts:
    # Not /models: the image has its own there.
    {{- include "lipserve.store.mount" (dict "context" . "path" "/store") | nindent 4 }}
{{- end -}}

{{/* The init container that leaves rclone (one static program) and its certificates for the one that copies and looks. */}}
{{- define "lipserve.store.tools" }}
- name: tools
  image: {{ include "lipserve.image" (dict "context" . "image" .Values.store.sync.image "home" "docker.io") | quote }}
  imagePullPolicy: {{ .Values.store.sync.image.pullPolicy }}
  command: [cp, /usr/local/bin/rclone, /etc/ssl/certs/ca-certificates.crt, /tmp/]
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "lipserve.securityContext" . | nindent 4 }}
  resources:
    {{- toYaml .Values.store.sync.resources | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
{{- end -}}

{{/* The mount of a Secret with a cloud's key file, or nothing. */}}
{{- define "lipserve.store.credentialsMount" -}}
{{- if and (eq .Values.store.kind "gcs") .Values.store.gcs.existingSecret -}}
- name: gcs-credentials
  mountPath: /var/run/secrets/gcs
  readOnly: true
{{- end -}}
{{- end -}}

{{/* A step of the Job with rclone that runs a script of the chart: (dict "context" $ "name" ... "script" ...). */}}
{{- define "lipserve.store.sync" -}}
- name: {{ .name }}
  image: {{ include "lipserve.image" (dict "context" .context "image" .context.Values.store.sync.image "home" "docker.io") | quote }}
  imagePullPolicy: {{ .context.Values.store.sync.image.pullPolicy }}
  command:
    - sh
    - -euc
    - |
      {{- .context.Files.Get .script | trim | nindent 6 }}
  terminationMessagePolicy: FallbackToLogsOnError
  env:
    {{- include "lipserve.homeEnv" .context | nindent 4 }}
    {{- include "lipserve.store.env" .context | nindent 4 }}
  securityContext:
    {{- include "lipserve.securityContext" .context | nindent 4 }}
  resources:
    {{- toYaml .context.Values.store.sync.resources | nindent 4 }}
  volumeMounts:
    {{- include "lipserve.store.mount" (dict "context" .context) | nindent 4 }}
    - name: tmp
      mountPath: /tmp
    {{- include "lipserve.store.credentialsMount" .context | nindent 4 }}
{{- end -}}

{{/* rclone's remote `store:`, configured by environment alone, and the mark of a copy that is complete. */}}
{{- define "lipserve.store.env" -}}
{{- $store := index .Values.store .Values.store.kind -}}
- name: REVISION
  value: {{ include "lipserve.store.folder" . | quote }}
- name: STORE
  value: {{ printf "store:%s" (list $store.bucket $store.prefix | compact | join "/") | quote }}
- name: RCLONE_CONFIG
  value: /tmp/rclone.conf
- name: RCLONE_CONFIG_STORE_NO_CHECK_BUCKET
  value: "true"
{{- if eq .Values.store.kind "s3" }}
- name: RCLONE_CONFIG_STORE_TYPE
  value: s3
- name: RCLONE_CONFIG_STORE_PROVIDER
  value: {{ ternary "Other" "AWS" (ne $store.endpoint "") }}
- name: RCLONE_CONFIG_STORE_ENV_AUTH
  value: "true"
{{- with $store.region }}
- name: RCLONE_CONFIG_STORE_REGION
  value: {{ . | quote }}
{{- end }}
{{- with $store.endpoint }}
- name: RCLONE_CONFIG_STORE_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- if $store.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $store.existingSecret | quote }}
      key: {{ . }}
{{- end }}
{{- end }}
{{- else }}
- name: RCLONE_CONFIG_STORE_TYPE
  value: google cloud storage
- name: RCLONE_CONFIG_STORE_BUCKET_POLICY_ONLY
  value: "true"
{{- if $store.existingSecret }}
- name: RCLONE_CONFIG_STORE_SERVICE_ACCOUNT_FILE
  value: /var/run/secrets/gcs/credentials.json
{{- else }}
- name: RCLONE_CONFIG_STORE_ENV_AUTH
  value: "true"
{{- end }}
{{- end }}
{{- end -}}
