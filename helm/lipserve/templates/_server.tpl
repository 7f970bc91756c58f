{{/* Parts of the server's pod. */}}

{{/* The `strategy`: where a GPU or a volume of one node is scarce, the old pod goes before the new one comes. */}}
{{- define "lipserve.server.strategy" -}}
{{- $scarce := or (ne .Values.accelerator.kind "none") (ne (include "lipserve.store.oneNode" .) "") -}}
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

{{/* Init containers: fill the store, or wait for the Job that does. */}}
{{- define "lipserve.server.initContainers" -}}
{{- include "lipserve.store.fill" (dict "context" . "waits" true) }}
{{- if and (eq .Values.store.kind "pvc") (include "lipserve.build.enabled" .) }}
- name: wait-for-build
  image: {{ include "lipserve.image" (dict "context" . "image" .Values.image) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - sh
    - -euc
    - |
      {{- .Files.Get "files/wait-for-build.sh" | trim | nindent 6 }}
  env:
    {{- include "lipserve.noGpuEnv" . | nindent 4 }}
    - name: BUILD
      value: {{ include "lipserve.build.id" . | quote }}
    - name: WAIT_SECONDS
      value: {{ .Values.engines.build.waitSeconds | int64 | quote }}
  securityContext:
    {{- include "lipserve.securityContext" . | nindent 4 }}
  resources:
    {{- toYaml .Values.store.sync.resources | nindent 4 }}
  volumeMounts:
    {{- include "lipserve.store.mount" (dict "context" . "readOnly" true) | nindent 4 }}
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
    {{- if not (include "lipserve.acceleratorResource" .) }}
    {{- include "lipserve.noGpuEnv" . | nindent 4 }}
    {{- end }}
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
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
    {{- include "lipserve.acceleratedResources" (dict "context" . "resources" .Values.resources) | nindent 4 }}
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
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
