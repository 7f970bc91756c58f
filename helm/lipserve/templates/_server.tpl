{{/* Parts of the server's pod. */}}

{{/* The `strategy`: where a GPU or a volume of one node is scarce, the old pod goes before the new one comes. Never of
     a single pod: it stays until the new one is ready. */}}
{{- define "lipserve.server.strategy" -}}
{{- $pods := ternary .Values.replicas .Values.autoscaling.minReplicas (eq .Values.autoscaling.mode "none") | int -}}
{{- $scarce := and (gt $pods 1) (or (ne .Values.accelerator.kind "none") (ne (include "lipserve.store.oneNode" .) "")) -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: {{ if kindIs "invalid" .Values.rollout.maxSurge }}{{ ternary 0 1 $scarce }}{{ else }}{{ .Values.rollout.maxSurge }}{{ end }}
  maxUnavailable: {{ if kindIs "invalid" .Values.rollout.maxUnavailable }}{{ ternary 1 0 $scarce }}{{ else }}{{ .Values.rollout.maxUnavailable }}{{ end }}
{{- end -}}

{{/* Seconds until a new pod is ready at the latest; the rollout is called stuck after them. */}}
{{- define "lipserve.server.deadline" -}}
{{- $wait := ternary .Values.engines.build.waitSeconds 0 (ne (include "lipserve.build.enabled" .) "") -}}
{{- add .Values.probes.startup.seconds $wait (include "lipserve.lifecycle" . | fromJson).grace 300 -}}
{{- end -}}

{{/* Arguments of lipserve pod. */}}
{{- define "lipserve.server.arguments" -}}
- --repository=/models
- --work=/run/lipserve
- --profile={{ .Values.profile }}
- {{ printf "--host=%s" .Values.listenAddress | quote }}
- --grpc-port=8001
- --metrics-port=8002
- --health-port=8080
- --exit-timeout={{ (include "lipserve.lifecycle" . | fromJson).exitTimeout | int }}
- --ready-timeout={{ .Values.probes.startup.seconds | int64 }}
# open: gRPC listens on 127.0.0.1 alone.
- --shared-memory={{ .Values.sharedMemory.clients }}
- --termination-log=/dev/termination-log
{{- range $name, $value := .Values.requestLimits }}
{{- if not (kindIs "invalid" $value) }}
- {{ printf "--limit=%s=%s" (snakecase $name) (kindIs "string" $value | ternary $value (int64 $value | toString)) }}
{{- end }}
{{- end }}
{{- if .Values.audit.enabled }}
- --audit-log=-
{{- end }}
{{- if .Values.autoscaling.deletionCost }}
- --deletion-cost
{{- end }}
{{- with include "lipserve.tls.podArguments" . | trim }}
{{ . }}
{{- end }}
{{- with include "lipserve.tracing.podArguments" . | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The pause before SIGTERM, in which the address leaves every balancer. The kubelet's own from Kubernetes 1.30 on;
     before that coreutils' of the image. */}}
{{- define "lipserve.server.preStop" -}}
{{- $seconds := (include "lipserve.lifecycle" . | fromJson).preStop | int -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version -}}
sleep:
  seconds: {{ $seconds }}
{{- else -}}
exec:
  command: [sleep, {{ $seconds | quote }}]
{{- end -}}
{{- end -}}

{{/* The three probes. */}}
{{- define "lipserve.server.probes" -}}
{{- $probes := .Values.probes -}}
startupProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: {{ $probes.startup.periodSeconds }}
  timeoutSeconds: {{ $probes.readiness.timeoutSeconds }}
  # Outlives --ready-timeout by 30 s (the first may come at once): the pod ends by itself, and says why.
  failureThreshold: {{ add 1 (div (add $probes.startup.seconds 30 $probes.startup.periodSeconds -1) $probes.startup.periodSeconds) }}
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  {{- toYaml $probes.readiness | nindent 2 }}
livenessProbe:
  httpGet:
    path: /livez
    port: health
  {{- toYaml $probes.liveness | nindent 2 }}
{{- end -}}

{{/* Spread over nodes; each rollout's pods for themselves. */}}
{{- define "lipserve.server.topologySpread" -}}
{{- with .Values.topologySpread -}}
- topologyKey: {{ .topologyKey | quote }}
  maxSkew: {{ .maxSkew }}
  whenUnsatisfiable: {{ .whenUnsatisfiable }}
  labelSelector:
    matchLabels:
      {{- include "lipserve.selectorLabels" (dict "context" $ "component" "server") | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end -}}
{{- end -}}

{{/* Init containers: fill the store, and wait until it holds what this pod serves. The one that looks has the pod's
     accelerator, which the server gets after it: engines fit a GPU. */}}
{{- define "lipserve.server.initContainers" -}}
{{- $remote := include "lipserve.store.remote" . -}}
{{- $watched := include "lipserve.build.watched" . -}}
{{- if and (eq .Values.store.kind "image") (not (include "lipserve.store.mounted" .)) }}
{{- include "lipserve.store.fromImage" . }}
{{- else if $remote }}
{{- include "lipserve.store.tools" . }}
{{- end }}
{{- if or $remote (include "lipserve.build.enabled" .) }}
- name: {{ ternary "copy-models" "wait-for-build" (ne $remote "") }}
  image: {{ include "lipserve.image" (dict "context" . "image" .Values.image) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python3, -m, lipserve_server.pod.wait]
  args:
    - --repository=/models
    - --profile={{ .Values.profile }}
    - --timeout={{ ternary .Values.engines.build.waitSeconds 0 (ne (include "lipserve.build.enabled" .) "") | int64 }}
    {{- if .Values.store.export.enabled }}
    - --tier=lipwarp
    - --tier=wav2lip
    {{- end }}
    {{- if $watched }}
    - {{ printf "--job=%s" (include "lipserve.build.jobName" .) | quote }}
    {{- end }}
    {{- if $remote }}
    - --
    - sh
    - -euc
    - |
      {{- .Files.Get "files/copy-models.sh" | trim | nindent 6 }}
    {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  env:
    {{- include "lipserve.homeEnv" . | nindent 4 }}
    {{- if not (include "lipserve.accelerated" .) }}
    {{- include "lipserve.noGpuEnv" . | nindent 4 }}
    {{- end }}
    {{- if $remote }}
    - name: SSL_CERT_FILE
      value: /tmp/ca-certificates.crt
    {{- include "lipserve.store.env" . | nindent 4 }}
    {{- end }}
  securityContext:
    {{- include "lipserve.securityContext" . | nindent 4 }}
  resources:
    {{- include "lipserve.acceleratedResources" (dict "context" . "resources" .Values.store.sync.resources) | nindent 4 }}
  volumeMounts:
    {{- include "lipserve.store.mount" (dict "context" . "readOnly" (eq $remote "")) | nindent 4 }}
    - name: tmp
      mountPath: /tmp
    {{- include "lipserve.store.credentialsMount" . | nindent 4 }}
    {{- if $watched }}
    # The token is this container's alone.
    - name: api
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- end }}
{{- end }}
{{- end -}}

{{/* The container `triton`. */}}
{{- define "lipserve.server.container" -}}
- name: triton
  image: {{ include "lipserve.image" (dict "context" . "image" .Values.image) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [lipserve, pod]
  args:
    {{- include "lipserve.server.arguments" . | nindent 4 }}
  env:
    {{- include "lipserve.homeEnv" . | nindent 4 }}
    {{- if not (include "lipserve.accelerated" .) }}
    {{- include "lipserve.noGpuEnv" . | nindent 4 }}
    {{- end }}
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    {{- with include "lipserve.provenance.env" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: grpc
      containerPort: 8001
      protocol: TCP
    - name: metrics
      containerPort: 8002
      protocol: TCP
    - name: health
      containerPort: 8080
      protocol: TCP
  {{- include "lipserve.server.probes" . | nindent 2 }}
  lifecycle:
    preStop:
      {{- include "lipserve.server.preStop" . | nindent 6 }}
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
  securityContext:
    {{- include "lipserve.securityContext" . | nindent 4 }}
  resources:
    {{- include "lipserve.acceleratedResources" (dict "context" . "resources" (include "lipserve.server.resources" . | fromYaml)) | nindent 4 }}
  volumeMounts:
    {{- include "lipserve.store.mount" (dict "context" . "readOnly" true) | nindent 4 }}
    - name: work
      mountPath: /run/lipserve
    - name: tmp
      mountPath: /tmp
    - name: shm
      mountPath: /dev/shm
    {{- with include "lipserve.tls.volumeMounts" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "lipserve.provenance.volumeMounts" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The pod's volumes. */}}
{{- define "lipserve.server.volumes" -}}
{{- include "lipserve.store.volumes" . }}
- name: work
  emptyDir:
    sizeLimit: {{ .Values.temporary.workSize | quote }}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.temporary.size | quote }}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.sharedMemory.size | quote }}
{{- with include "lipserve.tls.volumes" . | trim }}
{{ . }}
{{- end }}
{{- with include "lipserve.provenance.volumes" . | trim }}
{{ . }}
{{- end }}
{{- if include "lipserve.build.watched" . }}
- name: api
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
