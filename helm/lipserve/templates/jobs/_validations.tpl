{{- define "lipserve.validate.jobs" -}}
{{- if .Values.jobs.enabled }}
{{ include "lipserve.validate.jobsCallers" . }}
{{ include "lipserve.validate.jobsStore" . }}
{{ include "lipserve.validate.jobsQueue" . }}
{{ include "lipserve.validate.jobsTriton" . }}
{{ include "lipserve.validate.jobsPods" . }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.jobsCallers" -}}
{{- $jobs := .Values.jobs -}}
{{- if and (not $jobs.tenants.existingSecret) (not $jobs.tenants.list) (not $jobs.oidc.issuer) }}
jobs.tenants: nobody may send a job; name existingSecret, give a list, or set jobs.oidc.issuer
{{- end }}
{{- if and $jobs.tenants.existingSecret $jobs.tenants.list }}
jobs.tenants: existingSecret and list exclude each other; keep one
{{- end }}
{{- $names := list }}
{{- range $jobs.tenants.list }}
{{- if has .name $names }}
jobs.tenants.list: {{ .name }} is there twice; give each tenant once, with all its keys
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- if ne (empty $jobs.oidc.issuer) (empty $jobs.oidc.audience) }}
jobs.oidc: a token for another service would do; give issuer and audience
{{- end }}
{{- if and (not $jobs.session.existingSecret) (or $jobs.gateway.autoscaling.enabled (gt (int $jobs.gateway.replicas) 1)) }}
jobs.session.existingSecret: each gateway would sign the page's cookies with a secret of its own, and refuse those of the others; name a Secret
{{- end }}
{{- if and $jobs.ingress.enabled (not $jobs.ingress.hosts) }}
jobs.ingress.hosts: no host leads to the gateways; give one, such as films.example.com
{{- end }}
{{- if and $jobs.ingress.enabled (not $jobs.ingress.tls.secretName) }}
jobs.ingress.tls.secretName: keys and films would go through the network in the clear; name the certificate's Secret
{{- end }}
{{- range $host := $jobs.ingress.hosts }}
{{- if and $jobs.ingress.enabled $.Values.ingress.enabled (has $host $.Values.ingress.hosts) }}
jobs.ingress.hosts: {{ $host }} leads to Triton, too; give one of the two another name
{{- end }}
{{- end }}
{{- if and $jobs.gatewayApi.enabled (not $jobs.gatewayApi.parentRefs) }}
jobs.gatewayApi.parentRefs: the route belongs to no Gateway; name one
{{- end }}
{{- if and .Values.networkPolicy.enabled (not $jobs.networkPolicy.clients) }}
jobs.networkPolicy.clients: nobody may call the gateways; name peers, [{namespaceSelector: {}}] for the whole cluster
{{- end }}
{{- end -}}

{{- define "lipserve.validate.jobsStore" -}}
{{- $store := .Values.jobs.store -}}
{{- $policy := .Values.jobs.networkPolicy -}}
{{- if not $store.bucket }}
jobs.store.bucket: nothing says where films and results lie; name the bucket
{{- end }}
{{- if and (not $store.existingSecret) (not $store.workloadIdentity) }}
jobs.store: there are no credentials; name existingSecret (with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or set workloadIdentity to true
{{- else if and $store.existingSecret $store.workloadIdentity }}
jobs.store: existingSecret and workloadIdentity exclude each other; keep one
{{- end }}
{{- if and $store.workloadIdentity (not .Values.jobs.serviceAccount.create) (not .Values.jobs.serviceAccount.name) }}
jobs.store.workloadIdentity: the identity is a service account's, and there is none; set jobs.serviceAccount.create to true, or name one
{{- end }}
{{- if and .Values.jobs.serviceAccount.annotations (not .Values.jobs.serviceAccount.create) }}
jobs.serviceAccount.annotations: an account that the chart does not make keeps its own; set create to true, or leave them out
{{- end }}
{{- if .Values.networkPolicy.enabled }}
{{- if and (not $policy.objectStore.to) (not $policy.internet) }}
jobs.networkPolicy.objectStore.to: the store cannot be reached; name its peers
{{- end }}
{{- $port := include "lipserve.port" ($store.endpoint | default "https://s3.amazonaws.com") -}}
{{- if ne $port (toString $policy.objectStore.port) }}
jobs.networkPolicy.objectStore.port: {{ $policy.objectStore.port }} is open and the store is at {{ $port }}; set it to {{ $port }}
{{- end }}
{{- if not .Values.networkPolicy.dns }}
networkPolicy.dns: jobs cannot look up names; name the peers of the cluster's DNS
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.jobsQueue" -}}
{{- $nats := .Values.jobs.nats -}}
{{- if and $nats.enabled $nats.url }}
jobs.nats.url: the chart makes servers of its own; set jobs.nats.enabled to false, or leave it out
{{- else if and (not $nats.enabled) (not $nats.url) }}
jobs.nats.url: there is no queue; give the addresses of your NATS, or set jobs.nats.enabled to true
{{- end }}
{{- range $key, $name := dict "credentials" $nats.credentials.secretName "ca" $nats.ca.secretName }}
{{- if and $nats.enabled $name }}
jobs.nats.{{ $key }}: it is of servers at jobs.nats.url; leave it out, or set jobs.nats.enabled to false
{{- end }}
{{- end }}
{{- if and (not $nats.enabled) $nats.auth.existingSecret }}
jobs.nats.auth.existingSecret: it is of the chart's own servers; leave it out, and name jobs.nats.credentials.secretName
{{- end }}
{{- if and $nats.enabled (not $nats.auth.existingSecret) (not .Values.networkPolicy.enabled) }}
jobs.nats.auth.existingSecret: without network policies any pod of the cluster could read and change jobs; name a Secret with a password
{{- end }}
{{- if and .Values.networkPolicy.enabled (not $nats.enabled) (not .Values.jobs.networkPolicy.nats) }}
jobs.networkPolicy.nats: jobs.nats.url cannot be reached; name its peers
{{- end }}
{{- if and $nats.enabled (lt (include "lipserve.bytes" $nats.storage.size | float64) 1073741824.0) }}
jobs.nats.storage.size: {{ $nats.storage.size }} is soon full of records; give 1Gi or more
{{- end }}
{{- end -}}

{{- define "lipserve.validate.jobsTriton" -}}
{{- $triton := .Values.jobs.triton -}}
{{- $tls := .Values.tls -}}
{{- if $triton.url }}
{{- if and .Values.networkPolicy.enabled (not .Values.jobs.networkPolicy.triton) }}
jobs.networkPolicy.triton: jobs.triton.url cannot be reached; name its peers
{{- end }}
{{- else }}
{{- if eq .Values.sharedMemory.clients "open" }}
jobs.triton.url: sharedMemory.clients open keeps Triton to its own pod, and workers cannot call it; give addresses of another, or set it to closed
{{- end }}
{{- if and (ne .Values.envoy.auth.mode "none") (not $triton.headers.secretName) }}
jobs.triton.headers.secretName: Envoy would refuse the workers' calls; name a Secret with a line {{ ternary "x-api-key=KEY" "authorization=Bearer TOKEN" (eq .Values.envoy.auth.mode "apiKey") }}
{{- end }}
{{- if and $tls.enabled (not $triton.tls.secretName) (or $tls.clients.required (eq $tls.source "secret")) }}
jobs.triton.tls.secretName: workers have to know the authority of the certificate; name a Secret with ca.crt{{ ternary ", tls.crt and tls.key" "" $tls.clients.required }}, or use envoy without tls
{{- end }}
{{- end }}
{{- end -}}

{{- define "lipserve.validate.jobsPods" -}}
{{- $gateway := .Values.jobs.gateway -}}
{{- $worker := .Values.jobs.worker -}}
{{- $least := ternary $gateway.autoscaling.minReplicas $gateway.replicas $gateway.autoscaling.enabled | int -}}
{{- if and (gt $least 1) (ge (int $gateway.podDisruptionBudget.maxUnavailable) $least) }}
jobs.gateway.podDisruptionBudget.maxUnavailable: {{ int $gateway.podDisruptionBudget.maxUnavailable }} lets all {{ $least }} gateways go at once; give less
{{- end }}
{{- if and $gateway.autoscaling.enabled (gt (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) }}
jobs.gateway.autoscaling.minReplicas: {{ int $gateway.autoscaling.minReplicas }} is more than maxReplicas, {{ int $gateway.autoscaling.maxReplicas }}; give {{ int $gateway.autoscaling.maxReplicas }} or less
{{- end }}
{{- if and $gateway.autoscaling.enabled (not ($gateway.resources.requests | default dict).cpu) }}
jobs.gateway.autoscaling.enabled: there is nothing to take per cent of; set jobs.gateway.resources.requests.cpu
{{- end }}
{{- range $kind, $resources := dict "gateway" $gateway.resources "worker" $worker.resources "nats" .Values.jobs.nats.resources }}
{{- if not ($resources.limits | default dict).memory }}
jobs.{{ $kind }}.resources.limits.memory: a pod without a limit takes its node's; give one
{{- end }}
{{- end }}
{{- $scale := $worker.autoscaling -}}
{{- if eq $scale.mode "keda" }}
{{- if not .Values.autoscaling.prometheus.url }}
autoscaling.prometheus.url: KEDA has no Prometheus to ask for jobs; give its address, http://prometheus-operated.monitoring.svc:9090
{{- end }}
{{- if gt (int $scale.minReplicas) (int $scale.maxReplicas) }}
jobs.worker.autoscaling.minReplicas: {{ int $scale.minReplicas }} is more than maxReplicas, {{ int $scale.maxReplicas }}; give {{ int $scale.maxReplicas }} or less
{{- end }}
{{- if or (lt (int $scale.fallback.replicas) (int $scale.minReplicas)) (gt (int $scale.fallback.replicas) (int $scale.maxReplicas)) }}
jobs.worker.autoscaling.fallback.replicas: {{ int $scale.fallback.replicas }} is not between minReplicas and maxReplicas; give {{ max 1 (int $scale.minReplicas) }} to {{ int $scale.maxReplicas }}
{{- end }}
{{- end }}
{{- end -}}
