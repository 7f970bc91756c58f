{{/* Pieces that the pods of jobs share. */}}

{{- define "lipserve.jobs.name" -}}
{{- include "lipserve.fullname" . }}-jobs
{{- end -}}

{{- define "lipserve.jobs.serviceAccountName" -}}
{{- $account := .Values.jobs.serviceAccount -}}
{{- $account.name | default (ternary (include "lipserve.jobs.name" .) "default" $account.create) -}}
{{- end -}}

{{/* `job` of their series in Prometheus: gateways and workers alike. */}}
{{- define "lipserve.jobs.metricsJob" -}}
{{- include "lipserve.metrics.job" . }}-jobs
{{- end -}}

{{/* Labels of pods: what selects them wins, then those of the values: (dict "context" $ "component" "jobs-worker" "of"
     .Values.jobs.worker). */}}
{{- define "lipserve.jobs.podLabels" -}}
{{- $own := include "lipserve.selectorLabels" . | fromYaml -}}
{{- toYaml (merge $own .of.podLabels (include "lipserve.podLabels" . | fromYaml)) -}}
{{- end -}}

{{/* Fields of a pod's spec that all share: the same. A node with a GPU is Triton's. */}}
{{- define "lipserve.jobs.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "lipserve.podSecurityContext" .context | nindent 2 }}
{{- include "lipserve.imagePullSecrets" .context }}
{{- with .context.Values.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "lipserve.jobs.affinity" . | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lipserve.selectorLabels" . | nindent 8 }}
{{- end -}}

{{/* Nodes that GPU feature discovery has marked are left to Triton. */}}
{{- define "lipserve.jobs.affinity" -}}
{{- if .context.Values.jobs.gpuNodes -}}
{{- toYaml (.of.affinity | default dict) -}}
{{- else -}}
{{- $expression := dict "key" "nvidia.com/gpu.present" "operator" "NotIn" "values" (list "true") -}}
{{- include "lipserve.affinityWith" (dict "affinity" .of.affinity "expression" $expression) -}}
{{- end -}}
{{- end -}}

{{/* Addresses of NATS. The kubelet puts the password in. */}}
{{- define "lipserve.jobs.natsUrl" -}}
{{- $nats := .Values.jobs.nats -}}
{{- if $nats.enabled -}}
{{- $name := printf "%s-nats" (include "lipserve.jobs.name" .) -}}
{{- $user := ternary "lipserve:$(NATS_PASSWORD)@" "" (ne $nats.auth.existingSecret "") -}}
{{- $servers := list -}}
{{- range $number := until (int $nats.replicas) -}}
{{- $servers = append $servers (printf "nats://%s%s-%d.%s.%s.svc:4222" $user $name $number $name $.Release.Namespace) -}}
{{- end -}}
{{- join "," $servers -}}
{{- else -}}
{{- $nats.url -}}
{{- end -}}
{{- end -}}

{{/* Environment of gateways and workers. */}}
{{- define "lipserve.jobs.env" -}}
{{- $jobs := .Values.jobs -}}
{{- $nats := $jobs.nats -}}
{{ include "lipserve.homeEnv" . }}
{{- if and $nats.enabled $nats.auth.existingSecret }}
- name: NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $nats.auth.existingSecret | quote }}
      key: {{ $nats.auth.key | quote }}
{{- end }}
- name: LIPSERVE_JOBS_NATS
  value: {{ include "lipserve.jobs.natsUrl" . | quote }}
- name: LIPSERVE_JOBS_NATS_REPLICAS
  value: {{ int $nats.replicas | quote }}
{{- if not $nats.enabled }}
{{- if $nats.credentials.secretName }}
- name: LIPSERVE_JOBS_NATS_CREDENTIALS
  value: {{ printf "/secrets/nats/%s" $nats.credentials.key | quote }}
{{- end }}
{{- if $nats.ca.secretName }}
- name: LIPSERVE_JOBS_NATS_CA
  value: {{ printf "/secrets/nats-ca/%s" $nats.ca.key | quote }}
{{- end }}
{{- end }}
- name: LIPSERVE_JOBS_STORE
  value: {{ printf "s3://%s/%s" $jobs.store.bucket $jobs.store.prefix | trimSuffix "/" | quote }}
{{- with $jobs.store.endpoint }}
- name: LIPSERVE_JOBS_STORE_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with $jobs.store.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with $jobs.store.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $jobs.store.existingSecret | quote }}
      key: {{ . }}
{{- end }}
{{- end }}
{{- if or $jobs.tenants.existingSecret $jobs.tenants.list }}
- name: LIPSERVE_JOBS_TENANTS
  value: {{ printf "/secrets/tenants/%s" (ternary $jobs.tenants.key "tenants.yaml" (ne $jobs.tenants.existingSecret "")) | quote }}
{{- end }}
{{- if $jobs.webhooks.existingSecret }}
- name: LIPSERVE_JOBS_WEBHOOK_SECRET_FILE
  value: {{ printf "/secrets/webhooks/%s" $jobs.webhooks.key | quote }}
{{- end }}
{{- if $jobs.privateAddresses }}
- name: LIPSERVE_JOBS_ALLOW_PRIVATE_ADDRESSES
  value: "true"
{{- end }}
- name: LIPSERVE_JOBS_KEEP_DAYS
  value: {{ int $jobs.keepDays | quote }}
{{- end -}}

{{/* Secrets that are files, by their folder below /secrets, as JSON. A change of one arrives without a restart. */}}
{{- define "lipserve.jobs.secrets" -}}
{{- $jobs := .Values.jobs -}}
{{- $found := dict -}}
{{- if or $jobs.tenants.existingSecret $jobs.tenants.list -}}
{{- $_ := set $found "tenants" ($jobs.tenants.existingSecret | default (printf "%s-tenants" (include "lipserve.jobs.name" .))) -}}
{{- end -}}
{{- with $jobs.webhooks.existingSecret -}}{{- $_ := set $found "webhooks" . -}}{{- end -}}
{{- if not $jobs.nats.enabled -}}
{{- with $jobs.nats.credentials.secretName -}}{{- $_ := set $found "nats" . -}}{{- end -}}
{{- with $jobs.nats.ca.secretName -}}{{- $_ := set $found "nats-ca" . -}}{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Mounts, and volumes, of such Secrets: a dict of them by their folder. */}}
{{- define "lipserve.jobs.secretMounts" -}}
{{- range $folder, $_ := . }}
- name: {{ $folder }}
  mountPath: /secrets/{{ $folder }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "lipserve.jobs.secretVolumes" -}}
{{- range $folder, $secret := . }}
- name: {{ $folder }}
  secret:
    secretName: {{ $secret | quote }}
    defaultMode: 0440
{{- end }}
{{- end -}}
